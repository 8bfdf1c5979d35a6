/* Arrays that grow by their last element. */
#ifndef NASRUN_BASE_ARRAY_H
#define NASRUN_BASE_ARRAY_H

#include "host/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* The array of `count` elements with room for one more, which is zeroed; elements may have moved. `what` it holds is
 * for the message: NULL, and the array as it was, when out of memory. An empty one is NULL with a capacity of 0; free()
 * ends it. */
void *array_with_room(void *array, int32_t count, int32_t *capacity, size_t size, const char *what,
                      struct error *err);

#endif
