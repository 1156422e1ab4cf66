// How a command ends: when what it printed is out, or cannot be.

/**
 * Call it before anything is printed; the function that it returns ends the process. Who reads our output may leave first
 * (`neuron ls | head`, a closed terminal, a journal that restarts): that is no error. A full disk is, and exits with 1.
 */
export function startOutput(program: string): (code: number) => void {
  let lost: NodeJS.ErrnoException | undefined;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => (lost ??= error));
  process.stderr.on("error", () => {});
  return (code) => {
    process.stdout.write("", () => {
      // An error is told after the write that met it.
      setImmediate(() => {
        const failed = lost !== undefined && lost.code !== "EPIPE";
        if (failed) process.stderr.write(`${program}: cannot write the output: ${lost!.message}\n`);
        process.exit(failed ? 1 : code);
      });
    });
  };
}
