/* A driver with DEVICES devices; without any it says so as the real one does. */
#include <string.h>

enum { SUCCESS = 0, NO_DEVICE = 100 };

static int state(void) { return DEVICES > 0 ? SUCCESS : NO_DEVICE; }

int cuInit(unsigned flags) { (void)flags; return state(); }
int cuDeviceGetCount(int *count) { *count = DEVICES; return state(); }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return state(); }

int cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    strncpy(name, "Fake GPU", length);
    return state();
}

int cuDeviceGetUuid_v2(char uuid[16], int device) {
    memset(uuid, 0, 16);
    uuid[15] = (char)device + 1;
    return state();
}
