/* Stand-in for NVIDIA's libnvidia-ml.so.1, with the functions that trackfarm.nvml calls.
 *
 * FAKE_NVML names a file with one GPU per line: uuid|name|total MiB|used MiB|utilisation in percent,
 * read anew at each call. An empty utilisation is not supported by the GPU, an empty name means that
 * it does not respond. Without the file there is no driver. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };
enum { MAX_GPUS = 16, MIB = 1 << 20 };

typedef struct { char uuid[96], name[96], total[24], used[24], utilisation[24]; } gpu;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned gpu, memory; } rates;

static gpu gpus[MAX_GPUS];

static void field(char **rest, char *into, size_t size) {
    char *text = strsep(rest, "|\n");
    snprintf(into, size, "%s", text ? text : "");
}

static int read_gpus(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return -1;
    char line[512];
    int count = 0;
    while (count < MAX_GPUS && fgets(line, sizeof line, file)) {
        char *rest = line;
        gpu *one = &gpus[count++];
        field(&rest, one->uuid, sizeof one->uuid);
        field(&rest, one->name, sizeof one->name);
        field(&rest, one->total, sizeof one->total);
        field(&rest, one->used, sizeof one->used);
        field(&rest, one->utilisation, sizeof one->utilisation);
    }
    fclose(file);
    return count;
}

int nvmlInitWithFlags(unsigned flags) { return read_gpus() < 0 ? DRIVER_NOT_LOADED : OK; }
int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code) {
    switch (code) {
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    snprintf(version, length, "570.86.15");
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = (unsigned)read_gpus();
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, gpu **device) {
    if ((int)index >= read_gpus()) return NOT_FOUND;
    *device = &gpus[index];
    return gpus[index].name[0] ? OK : GPU_IS_LOST;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, gpu **device) {
    int count = read_gpus();
    for (int i = 0; i < count; i++)
        if (!strcmp(gpus[i].uuid, uuid)) { *device = &gpus[i]; return OK; }
    return NOT_FOUND;
}

int nvmlDeviceGetName(gpu *device, char *name, unsigned length) {
    snprintf(name, length, "%s", device->name);
    return OK;
}

int nvmlDeviceGetMemoryInfo_v2(gpu *device, memory_v2 *memory) {
    memory->total = strtoull(device->total, NULL, 10) * MIB;
    memory->used = strtoull(device->used, NULL, 10) * MIB;
    memory->free = memory->total - memory->used;
    memory->reserved = 0;
    return OK;
}

int nvmlDeviceGetUtilizationRates(gpu *device, rates *utilisation) {
    if (!device->utilisation[0]) return NOT_SUPPORTED;
    utilisation->gpu = (unsigned)atoi(device->utilisation);
    utilisation->memory = 0;
    return OK;
}
