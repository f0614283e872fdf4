/* NVML of a machine with one GPU, as far as it is asked here. */
#include <string.h>

typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;

int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return 0; }
int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned length) { strncpy(version, "580.65.06", length); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13000; return 0; }

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    *device = (void *)uuid;
    return strcmp(uuid, "GPU-00000000-0000-0000-0000-000000000001") == 0 ? 0 : 6; /* not found */
}

int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    (void)device;
    *major = 9;
    *minor = 0;
    return 0;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, Memory *memory) {
    (void)device;
    memory->total = 4000;
    memory->used = 1000;
    memory->free = 3000;
    return 0;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) { (void)device; *milliwatts = 90500; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts) { (void)device; *milliwatts = 700000; return 0; }
/* Clock 1 is that of the multiprocessors, 2 that of the memory. */
int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *mhz) { (void)device; *mhz = clock == 1 ? 1500 : 2600; return 0; }
int nvmlDeviceGetMaxClockInfo(void *device, int clock, unsigned *mhz) { (void)device; *mhz = clock == 1 ? 1980 : 2619; return 0; }
int nvmlDeviceGetPersistenceMode(void *device, int *on) { (void)device; *on = 1; return 0; }

/* A millijoule more with each question. */
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    static unsigned long long counter = 41999;
    (void)device;
    *millijoules = ++counter;
    return 0;
}
