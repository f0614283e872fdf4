/* An ONNX Runtime that says yes to a CUDA provider and does nothing about it: everything else goes to the library
   REAL, which runs the whole graph on the CPU. With DEAF it also takes no notice when falling back is forbidden.

   OrtApi is a table of functions that only grows: the numbers of entries are part of ONNX Runtime's interface. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    ADD_SESSION_CONFIG_ENTRY = 130,
    APPEND_CUDA_V2 = 204,
    CREATE_CUDA_OPTIONS = 205,
    UPDATE_CUDA_OPTIONS = 206,
    RELEASE_CUDA_OPTIONS = 208,
    ENTRIES = 415
};

typedef struct { const void *(*api)(uint32_t version); const char *(*version)(void); } Base;

static const Base *real;
static void *table[ENTRIES];

static void *yes(void) { return NULL; }

static void *create(void **options) {
    *options = malloc(1);
    return NULL;
}

static void release(void *options) { free(options); }

#ifdef DEAF
static void *add_config(void *options, const char *key, const char *value) {
    if (strcmp(key, "session.disable_cpu_ep_fallback") == 0) return NULL;
    const void *const *entries = real->api(24);
    void *(*add)(void *, const char *, const char *);
    memcpy(&add, &entries[ADD_SESSION_CONFIG_ENTRY], sizeof add);
    return add(options, key, value);
}
#endif

static const void *api(uint32_t version) {
    const void *entries = real->api(version);
    if (entries == NULL) return NULL;
    memcpy(table, entries, sizeof table);
    table[APPEND_CUDA_V2] = (void *)yes;
    table[CREATE_CUDA_OPTIONS] = (void *)create;
    table[UPDATE_CUDA_OPTIONS] = (void *)yes;
    table[RELEASE_CUDA_OPTIONS] = (void *)release;
#ifdef DEAF
    table[ADD_SESSION_CONFIG_ENTRY] = (void *)add_config;
#endif
    return table;
}

static const char *version(void) { return real->version(); }

const Base *OrtGetApiBase(void) {
    static const Base base = {api, version};
    if (real == NULL) {
        void *library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) return NULL;
        const Base *(*get)(void) = (const Base *(*)(void))dlsym(library, "OrtGetApiBase");
        real = get();
    }
    return &base;
}
