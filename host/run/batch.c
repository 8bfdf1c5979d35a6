#include "host/run/batch.h"

#include "host/machine/devices.h"
#include "spec/job.h"

#include <math.h>

/* What a step has where nothing asks for more, and what learning rates are meant for. */
enum { PLAIN_BATCH = 128 };
/* Large enough that a GPU is not waiting for launches. */
enum { GPU_CANDIDATE_BATCH = 512, GPU_FINAL_BATCH = 1024 };
/* Steps that an epoch keeps. A candidate has a few epochs only; a final fit has many, and on several devices still
 * more. */
enum { CANDIDATE_STEPS = 32, FINAL_STEPS = 16 };

/* `devices` times a batch that began as `each`. */
static int32_t fitting(int32_t each, int32_t devices, int32_t images, int32_t steps)
{
    while (each * devices / 2 >= PLAIN_BATCH && (int64_t)each * devices * steps > images)
        each /= 2;
    while (each > 1 && each * devices > images)
        each /= 2;
    return each * devices <= images ? each * devices : images;
}

struct batches batches_choose(int32_t job_batch, bool gpus, int32_t devices, int32_t candidate_images,
                              int32_t final_images)
{
    struct batches batches = {.candidate = job_batch, .final = job_batch};
    if (job_batch == JOB_AUTO && gpus) {
        batches.candidate = fitting(GPU_CANDIDATE_BATCH, 1, candidate_images, CANDIDATE_STEPS);
        batches.final = fitting(GPU_FINAL_BATCH, devices, final_images, FINAL_STEPS);
    } else if (job_batch == JOB_AUTO) {
        batches.candidate = fitting(PLAIN_BATCH, 1, candidate_images, 1);
        batches.final = fitting(PLAIN_BATCH, 1, final_images, 1);
    }
    batches.team = devices_sharing(devices, batches.final);
    return batches;
}

int32_t batches_wanted(const struct batches *batches, bool final, double wanted)
{
    if (!isnan(wanted))
        return (int32_t)wanted;
    return final ? batches->final : batches->candidate;
}
