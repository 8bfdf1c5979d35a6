/* The device in cuDNN's words: as it is there, or as it is described. */
#include "cuda/conv/conv_internal.h"

#include <stdlib.h>
#include <string.h>

/* Takes a number out of a JSON object. */
static void forget(char *json, const char *name)
{
    char *begin = strstr(json, name);
    if (begin == NULL)
        return;
    char *end = begin + strcspn(begin, ",}");
    if (*end == ',')
        end++;
    else if (begin > json && begin[-1] == ',')
        begin--;
    memmove(begin, end, strlen(end) + 1);
}

/* The device's properties as JSON, malloc'd. They hold no pointers and no clock readings: the same for every
 * process; and what tells it from its equals is left out: the same for all of them. */
static enum status read_description(cudnnBackendDescriptor_t device, char **description, struct error *err)
{
    int64_t size = 0, got = 0;
    const char *what = "describe the device";
    enum status st = conv_check(cudnnBackendGetAttribute(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                         CUDNN_TYPE_CHAR, 0, &size, NULL),
                                what, err);
    if (st != ST_OK)
        return st;
    *description = calloc((size_t)size + 1, 1);
    if (*description == NULL)
        return error_memory(err, "description of the device", (unsigned long long)size + 1);
    st = conv_check(cudnnBackendGetAttribute(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                             CUDNN_TYPE_CHAR, size, &got, *description),
                    what, err);
    forget(*description, "\"cudaDeviceId\":");
    forget(*description, "\"pciDeviceId\":");
    return st;
}

enum status conv_describe(struct conv_planner *planner, int32_t index, const char *text, struct error *err)
{
    const char *what = "describe the device";
    enum status st = conv_check(
        cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &planner->device), what, err);
    if (st == ST_OK && text == NULL)
        st = conv_check(cudnnBackendSetAttribute(planner->device, CUDNN_ATTR_DEVICEPROP_DEVICE_ID,
                                                 CUDNN_TYPE_INT32, 1, &index),
                        what, err);
    if (st == ST_OK && text != NULL)
        st = conv_check(cudnnBackendSetAttribute(planner->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                 CUDNN_TYPE_CHAR, (int64_t)strlen(text), text),
                        what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendFinalize(planner->device), what, err);
    if (st == ST_OK)
        st = read_description(planner->device, &planner->description, err);
    return st;
}
