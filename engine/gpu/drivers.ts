const variables = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;

const users = Object.fromEntries(variables.map((name) => [name, process.env[name]]));

/** The drivers that the user wants the Vulkan loader to see; undefined: those that are installed. */
export const usersDrivers = users["VK_DRIVER_FILES"] ?? users["VK_ICD_FILENAMES"];

/**
 * Tells the Vulkan loader to see that driver file alone; undefined: what the user has said. Main thread only, where
 * process.env is the environment of native code; loaders before 1.3.207 know the second name alone.
 */
export function selectDrivers(file: string | undefined): void {
  for (const name of variables) {
    const value = file ?? users[name];
    if (value !== undefined) process.env[name] = value;
    else Reflect.deleteProperty(process.env, name);
  }
}
