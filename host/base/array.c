#include "host/base/array.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

void *array_with_room(void *array, int32_t count, int32_t *capacity, size_t size, const char *what,
                      struct error *err)
{
    if (count == *capacity) {
        int32_t larger = *capacity == 0 ? FIRST_CAPACITY : 2 * *capacity;
        void *grown = realloc(array, (size_t)larger * size);
        if (grown == NULL) {
            error_memory(err, what, (size_t)larger * size);
            return NULL;
        }
        array = grown;
        *capacity = larger;
    }
    memset((char *)array + (size_t)count * size, 0, size);
    return array;
}
