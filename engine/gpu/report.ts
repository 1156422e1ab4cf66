// What a device is, as plain data: the same figures serve `neuron devices`, `neuron doctor`, /discovery and the logs.

/** One adapter as the engine sees it. `limits` are bytes or counts, named as in WebGPU. */
export interface DeviceReport {
  index: number;
  name: string;
  vendor: string;
  driver: string;
  kind: "hardware" | "software";
  backend: string;
  /** MiB; undefined where neither the OS nor the configuration tells. */
  memoryTotalMb: number | undefined;
  features: string[];
  limits: Record<string, number>;
  wgslFeatures: string[];
  subgroups: { min: number; max: number } | undefined;
  subgroupMatrixConfigs: unknown[];
}
