/* Shared libraries that need not lie where the loader looks: CUDA's, which are found and never brought along.
 *
 *     library_load("libcudnn.so.9", &library, &err)   // then whoever needs libcudnn.so.9 gets this one
 *
 * They are looked for, in this order,
 *   1. beside the program and in ../lib of its folder,
 *   2. in lib64 and lib of $CUDA_HOME,
 *   3. in lib of $CONDA_PREFIX,
 *   4. in nvidia/.../lib of the active Python, as pip lays them out: of $VIRTUAL_ENV, of the python3 in $PATH, which
 *      is not run, and of ~/.local,
 *   5. in lib64 of /usr/local/cuda and /usr/local/cuda-...,
 *   6. where the loader looks.
 * Relative paths in these variables are passed over: the current directory is never looked into. */
#ifndef NASRUN_BASE_LIBRARY_H
#define NASRUN_BASE_LIBRARY_H

#include "host/base/error.h"

#include <stdint.h>

/* Loads the first library of that file name that can be loaded, by its full path, and for good. ST_DEVICE: there is
 * none; the message says what the loader says, and where it was looked for. */
enum status library_load(const char *name, void **library, struct error *err);

/* The file from which a loaded library's function comes, "?" when that is unknown. Valid as long as the library. */
const char *library_of(void (*function)(void));

enum { LIBRARY_NEEDS = 32, LIBRARY_NAME = 64 };

/* File names that a library asks the loader for. */
struct library_needs {
    int32_t count;
    char names[LIBRARY_NEEDS][LIBRARY_NAME];
};

/* Reads them from the file, without loading it. ST_FORMAT: it is no shared library for this kind of machine, or asks
 * for more than there is room for. */
enum status library_read_needs(const char *path, struct library_needs *needs, struct error *err);

#endif
