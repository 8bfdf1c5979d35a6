/* From a list of files to pixels, in two rounds over all cores: the heads of all images tell which size and
 * colours all of them get, then each image is decoded and resized straight into its pixels. No decoded
 * original is kept. */
#include "host/data/data_internal.h"
#include "host/data/gate.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* One thread's share of a round takes this many images at a time. */
enum { DECODE_CHUNK = 16 };
/* The cap of the longer side takes no more of the other. */
enum { STRIP_SIDE = 8 };
/* Decoded images of all threads take no more than this together, unless a single one does. */
enum { DECODE_BYTES = 1 << 29 };

struct decoder {
    struct data_list *list;
    struct image_info *infos; /* of each file in the list */
    bool *broken;             /* by an earlier round */
    char **messages;          /* what went wrong in this round; NULL: nothing */
    int32_t first;            /* the first that went wrong in this round; INT32_MAX: none */
    struct error first_error;
    bool over; /* by an error that is no file's */
    enum job_fit fit;
    int32_t max_pixels;
    struct gate *gate;
    struct dataset *set; /* its size is that of all images; pixels has room for each file of the list */
};

/* What is no fault of a file ends the reading, whatever the job says of those. */
static bool ends(const struct error *err)
{
    return err->status == ST_MEMORY || err->status == ST_IO || err->status == ST_INTERRUPTED;
}

/* What came of one image; called from many threads. Only the first error of the list's order matters when
 * errors stop the reading, so that the message is the same for any number of threads. */
static void note_failure(struct decoder *decoder, int32_t i, struct error *err)
{
    if (decoder->list->items[i].line > 0)
        error_prefix(err, "%s:%d", decoder->list->source, decoder->list->items[i].line);
    decoder->messages[i] = strdup(err->message);
    if (decoder->messages[i] == NULL)
        error_memory(err, "a message", strlen(err->message) + 1);
#pragma omp critical(data_decode_failure)
    if (decoder->first == INT32_MAX || ends(err) > ends(&decoder->first_error) ||
        (ends(err) == ends(&decoder->first_error) && i < decoder->first)) {
#pragma omp atomic write
        decoder->first = i;
        decoder->first_error = *err;
        if (ends(err)) {
#pragma omp atomic write
            decoder->over = true;
        }
    }
}

/* True when an error before image i already ends the reading. */
static bool is_over(struct decoder *decoder, int32_t i)
{
    int32_t first;
    bool over;
#pragma omp atomic read
    first = decoder->first;
#pragma omp atomic read
    over = decoder->over;
    return over || (!decoder->list->skip && first < i);
}

/* After a round: with on_error "stop" its first error, otherwise warnings in the list's order. */
static enum status settle_round(struct decoder *decoder, struct error *err)
{
    if (decoder->first == INT32_MAX)
        return ST_OK;
    if (!decoder->list->skip || ends(&decoder->first_error)) {
        *err = decoder->first_error;
        return err->status;
    }
    for (int32_t i = 0; i < decoder->list->count; i++) {
        if (decoder->messages[i] == NULL)
            continue;
        error_set(err, ST_FORMAT, "%s", decoder->messages[i]);
        data_list_problem(decoder->list, err); /* cannot fail under "skip" */
        decoder->broken[i] = true;
        free(decoder->messages[i]);
        decoder->messages[i] = NULL;
    }
    decoder->first = INT32_MAX;
    return ST_OK;
}

static enum status probe_one(const struct decoder *decoder, int32_t i, struct error *err)
{
    const char *path = decoder->list->items[i].path;
    enum status st = data_list_goes_on(decoder->list, err);
    if (st == ST_OK)
        st = image_probe(path, &decoder->infos[i], err);
    return st == ST_OK ? image_check_pixels(path, &decoder->infos[i], decoder->max_pixels, err) : st;
}

static enum status probe_all(struct decoder *decoder, int32_t threads, struct error *err)
{
    const struct data_list *list = decoder->list;
#pragma omp parallel for num_threads(data_threads(threads)) schedule(dynamic, DECODE_CHUNK)
    for (int32_t i = 0; i < list->count; i++) {
        struct error failure;
        if (!is_over(decoder, i) && probe_one(decoder, i, &failure) != ST_OK)
            note_failure(decoder, i, &failure);
    }
    return settle_round(decoder, err);
}

static enum status decode_one(const struct decoder *decoder, int32_t i, struct resize_work *work,
                              struct error *err)
{
    const struct dataset *set = decoder->set;
    const struct image_info *info = &decoder->infos[i];
    size_t bytes = data_image_bytes(set);
    struct image image = {0};
    int32_t shrink = data_resize_shrink(info->height, info->width, decoder->fit, set->height, set->width);
    const int64_t taken = 4 * (int64_t)(info->height / shrink + 1) * (info->width / shrink + 1);
    gate_enter(decoder->gate, taken);
    enum status st = data_list_goes_on(decoder->list, err);
    if (st == ST_OK)
        st = image_decode(decoder->list->items[i].path, set->channels, shrink, decoder->list->way->stop,
                          &image, err);
    if (st == ST_OK)
        st = data_resize(work,
                         &(struct resize_order){.from = image.pixels,
                                                .channels = set->channels,
                                                .height = image.height,
                                                .width = image.width,
                                                .fit = decoder->fit,
                                                .to_height = set->height,
                                                .to_width = set->width},
                         set->pixels + (size_t)i * bytes, err);
    free(image.pixels);
    gate_leave(decoder->gate, taken);
    return st;
}

static enum status decode_all(struct decoder *decoder, int32_t threads, struct error *err)
{
    const struct data_list *list = decoder->list;
#pragma omp parallel num_threads(data_threads(threads))
    {
        struct resize_work work = {0};
#pragma omp for schedule(dynamic, DECODE_CHUNK)
        for (int32_t i = 0; i < list->count; i++) {
            struct error failure;
            if (!decoder->broken[i] && !is_over(decoder, i) &&
                decode_one(decoder, i, &work, &failure) != ST_OK)
                note_failure(decoder, i, &failure);
        }
        data_resize_free(&work);
    }
    return settle_round(decoder, err);
}

static int compare_sides(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* Strips keep what they have across: nothing can be seen in a side of one pixel. */
static int32_t capped_side(int32_t side, double scale)
{
    const int32_t scaled = (int32_t)(side * scale + 0.5), least = side < STRIP_SIDE ? side : STRIP_SIDE;
    return scaled > least ? scaled : least;
}

void data_choose_size(const struct job_dataset *job, int32_t *heights, int32_t *widths, int32_t count,
                      int32_t *height, int32_t *width)
{
    if (job->resize.count == 2) {
        *height = (int32_t)job->resize.items[0];
        *width = (int32_t)job->resize.items[1];
        return;
    }
    qsort(heights, (size_t)count, sizeof(*heights), compare_sides);
    qsort(widths, (size_t)count, sizeof(*widths), compare_sides);
    *height = heights[count / 2];
    *width = widths[count / 2];
    int32_t longer = *height > *width ? *height : *width;
    if (job->max_side > 0 && longer > job->max_side) {
        double scale = (double)job->max_side / longer;
        *height = capped_side(*height, scale);
        *width = capped_side(*width, scale);
    }
}

/* `found`: what the images are. */
static int32_t channels_of(enum job_channels channels, int32_t found)
{
    switch (channels) {
    case JOB_CHANNELS_AUTO:
        return found;
    case JOB_CHANNELS_GREY:
        return 1;
    case JOB_CHANNELS_RGB:
        return 3;
    }
    abort(); /* the schema allows no other */
}

static const char *fit_text(enum job_fit fit)
{
    switch (fit) {
    case JOB_FIT_STRETCH:
        return "stretched";
    case JOB_FIT_CROP:
        return "cut to the middle";
    case JOB_FIT_PAD:
        return "padded with black";
    }
    abort(); /* the schema allows no other */
}

/* Size and channels of the dataset, from the heads of all images that have one. */
static enum status choose_shape(const struct job_dataset *job, const struct decoder *decoder,
                                struct error *err)
{
    const struct data_list *list = decoder->list;
    struct dataset *set = decoder->set;
    enum status st = ST_OK;
    int32_t count = 0, colours = 0;
    int32_t *heights = malloc((size_t)list->count * sizeof(*heights));
    int32_t *widths = malloc((size_t)list->count * sizeof(*widths));
    if (heights == NULL || widths == NULL) {
        st = error_memory(err, "image sizes", (unsigned long long)list->count * sizeof(*heights));
        goto out;
    }
    for (int32_t i = 0; i < list->count; i++) {
        if (decoder->broken[i])
            continue;
        heights[count] = decoder->infos[i].height;
        widths[count++] = decoder->infos[i].width;
        colours += !decoder->infos[i].grey;
    }
    if (count == 0) {
        st = error_set(err, ST_FORMAT, "%s: none of %d images can be read", list->source, list->count);
        goto out;
    }
    data_choose_size(job, heights, widths, count, &set->height, &set->width);
    set->channels = channels_of(job->channels, colours == 0 ? 1 : 3);
out:
    free(heights);
    free(widths);
    return st;
}

/* Where the size that all images got comes from. */
static const char *size_text(const struct job_dataset *job, const struct dataset *set)
{
    if (job->resize.count == 2)
        return "as the job says";
    int32_t longer = set->height > set->width ? set->height : set->width;
    return longer == job->max_side ? "median, capped" : "median";
}

/* The sentence that says what was done to the images that came out, and to how many. */
static void describe(const struct job_dataset *job, const struct decoder *decoder)
{
    struct dataset *set = decoder->set;
    int32_t colours = 0, greys = 0, alphas = 0, deeps = 0, palettes = 0, turned = 0;
    size_t used = 0;
    for (int32_t i = 0; i < decoder->list->count; i++) {
        const struct image_info *info = &decoder->infos[i];
        if (decoder->broken[i])
            continue;
        greys += info->grey;
        colours += !info->grey;
        alphas += info->alpha;
        deeps += info->deep;
        palettes += info->palette;
        turned += info->orientation > 1;
        set->resized += info->height != set->height || info->width != set->width;
    }
    const struct {
        int32_t count;
        const char *text;
    } parts[] = {
        {palettes, "palettes expanded"},
        {turned, "turned as EXIF says"},
        {deeps, "16 bits reduced to 8"},
        {alphas, "alpha composited on white"},
        {set->channels == 1 ? colours : 0, "colours turned grey"},
        {set->channels == 1 ? 0 : greys, "grey repeated as RGB"},
    };
    if (set->resized > 0)
        used = (size_t)snprintf(set->policy, sizeof(set->policy),
                                "sizes to %d x %d (%s, %s, antialiased; %d images)", set->height, set->width,
                                size_text(job, set), fit_text(decoder->fit), set->resized);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i].count > 0 && used < sizeof(set->policy))
            used += (size_t)snprintf(set->policy + used, sizeof(set->policy) - used, "%s%s (%d)",
                                     used > 0 ? "; " : "", parts[i].text, parts[i].count);
}

/* Closes the gaps that broken images left in the pixels, and lists the whole ones. */
static void close_gaps(struct decoder *decoder, int32_t *kept)
{
    struct dataset *set = decoder->set;
    size_t bytes = data_image_bytes(set);
    for (int32_t i = 0; i < decoder->list->count; i++) {
        if (decoder->broken[i])
            continue;
        if (set->count != i)
            memcpy(set->pixels + (size_t)set->count * bytes, set->pixels + (size_t)i * bytes, bytes);
        kept[set->count++] = i;
    }
}

enum status data_decode(const struct job_dataset *job, struct data_list *list, int32_t threads,
                        struct data_build *build, int32_t **kept, struct error *err)
{
    struct dataset *set = &build->set;
    size_t count = (size_t)list->count;
    struct decoder decoder = {.list = list,
                              .infos = calloc(count, sizeof(*decoder.infos)),
                              .broken = calloc(count, sizeof(*decoder.broken)),
                              .messages = calloc(count, sizeof(*decoder.messages)),
                              .first = INT32_MAX,
                              .set = set};
    enum status st;
    struct gate gate;

    gate_open(&gate, DECODE_BYTES);
    *kept = malloc(count * sizeof(**kept));
    if (decoder.infos == NULL || decoder.broken == NULL || decoder.messages == NULL || *kept == NULL) {
        st = error_memory(err, "the list of images", (unsigned long long)count * sizeof(*decoder.infos));
        goto out;
    }
    decoder.fit = job->fit;
    decoder.max_pixels = job->max_pixels;
    decoder.gate = &gate;
    st = probe_all(&decoder, threads, err);
    if (st == ST_OK)
        st = choose_shape(job, &decoder, err);
    if (st != ST_OK)
        goto out;
    size_t bytes = data_image_bytes(set);
    set->pixels = malloc(count * bytes); /* sides up to 2^14 and counts up to 2^31 fit into size_t */
    if (set->pixels == NULL) {
        st = error_memory(err, "pixels", count * bytes);
        goto out;
    }
    st = decode_all(&decoder, threads, err);
    if (st != ST_OK)
        goto out;
    describe(job, &decoder);
    close_gaps(&decoder, *kept);
    set->skipped = list->skipped;
    if (set->count == 0)
        st = error_set(err, ST_FORMAT, "%s: none of %d images can be read", list->source, list->count);
out:
    gate_close(&gate);
    for (size_t i = 0; decoder.messages != NULL && i < count; i++)
        free(decoder.messages[i]);
    free(decoder.infos);
    free(decoder.broken);
    free(decoder.messages);
    if (st != ST_OK) {
        free(*kept);
        *kept = NULL;
    }
    return st;
}

/* One image of a packed format: planes, not interleaved, so each plane is resized as a grey image of its own.
 * `grey` has room for one plane of the old size. */
static enum status conform_one(const struct dataset *from, struct dataset *to, enum job_fit fit, int32_t i,
                               struct resize_work *work, uint8_t *grey, struct error *err)
{
    size_t plane = (size_t)from->height * (size_t)from->width,
           to_plane = (size_t)to->height * (size_t)to->width;
    const uint8_t *pixels = from->pixels + (size_t)i * plane * (size_t)from->channels;
    uint8_t *target = to->pixels + (size_t)i * to_plane * (size_t)to->channels;
    int32_t planes = from->channels < to->channels ? from->channels : to->channels;
    if (from->channels == 3 && to->channels == 1) {
        for (size_t k = 0; k < plane; k++)
            grey[k] = (uint8_t)((299u * pixels[k] + 587u * pixels[k + plane] + 114u * pixels[k + 2 * plane] +
                                 500u) /
                                1000u);
        pixels = grey;
    }
    for (int32_t c = 0; c < planes; c++) {
        const struct resize_order order = {.from = pixels + (size_t)c * plane,
                                           .channels = 1,
                                           .height = from->height,
                                           .width = from->width,
                                           .fit = fit,
                                           .to_height = to->height,
                                           .to_width = to->width};
        enum status st = data_resize(work, &order, target + (size_t)c * to_plane, err);
        if (st != ST_OK)
            return st;
    }
    for (int32_t c = planes; c < to->channels; c++)
        memcpy(target + (size_t)c * to_plane, target, to_plane);
    return ST_OK;
}

enum status data_conform(const struct job_dataset *job, int32_t threads, struct dataset *set,
                         struct error *err)
{
    struct dataset to = {.count = set->count, .channels = channels_of(job->channels, set->channels)};
    int32_t height = set->height, width = set->width;
    struct error failure = {.status = ST_OK};

    data_choose_size(job, &height, &width, 1, &to.height, &to.width);
    bool resized = to.height != set->height || to.width != set->width;
    if (!resized && to.channels == set->channels)
        return ST_OK;
    size_t bytes = (size_t)to.count * data_image_bytes(&to);
    to.pixels = malloc(bytes);
    if (to.pixels == NULL)
        return error_memory(err, "pixels", bytes);
#pragma omp parallel num_threads(data_threads(threads))
    {
        struct error mine = {.status = ST_OK};
        struct resize_work work = {0};
        uint8_t *grey = malloc((size_t)set->height * (size_t)set->width);
        if (grey == NULL)
            error_memory(&mine, "a plane", (unsigned long long)set->height * (unsigned long long)set->width);
#pragma omp for schedule(static)
        for (int32_t i = 0; i < set->count; i++)
            if (mine.status == ST_OK)
                conform_one(set, &to, job->fit, i, &work, grey, &mine);
#pragma omp critical(data_conform_failure)
        if (mine.status != ST_OK)
            failure = mine;
        free(grey);
        data_resize_free(&work);
    }
    if (failure.status != ST_OK) {
        free(to.pixels);
        *err = failure;
        return err->status;
    }
    size_t used = 0;
    if (resized) {
        set->resized = set->count;
        used = (size_t)snprintf(set->policy, sizeof(set->policy),
                                "sizes from %d x %d to %d x %d (%s, %s, antialiased)", set->height,
                                set->width, to.height, to.width,
                                job->resize.count == 2 ? "as the job says" : "capped", fit_text(job->fit));
    }
    if (to.channels != set->channels)
        snprintf(set->policy + used, sizeof(set->policy) - used, "%s%s", used > 0 ? "; " : "",
                 to.channels == 1 ? "colours turned grey" : "grey repeated as RGB");
    free(set->pixels);
    set->pixels = to.pixels;
    set->channels = to.channels;
    set->height = to.height;
    set->width = to.width;
    return ST_OK;
}
