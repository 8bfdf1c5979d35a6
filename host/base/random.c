#include "host/base/random.h"

#include <math.h>

void random_normal2(struct random4 draw, double *first, double *second)
{
    double u = ((double)draw.v[0] + 1.0) / 4294967297.0; /* in (0, 1): its logarithm is finite */
    double angle = 6.283185307179586 * ((double)draw.v[1] / 4294967296.0);
    double radius = sqrt(-2.0 * log(u));
    *first = radius * cos(angle);
    *second = radius * sin(angle);
}
