/* Checkpoints: a header, the members' metrics, the weight slots as floats, and a checksum of all that. Members have the
 * same weights, so that one of them stands for all; but running statistics are each member's own, and stand behind the
 * slots that have them, for every member but the first. */
#include "host/base/file.h"
#include "host/train/trainer_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { READ_BYTES = 1 << 16, MOST_MEMBERS = 1024 };

static const char MAGIC[8] = "nasrunC5";

struct checkpoint_header {
    char magic[8];
    uint64_t note;
    uint64_t weights; /* floats in a slot */
    uint64_t slots;
    uint64_t members;
    uint64_t statistics; /* floats of one member's in a slot */
    struct trainer_state state;
};

static size_t slot_count(const struct trainer *trainer)
{
    return trainer->settings.optimizer.kind == OPTIMIZER_ADAMW ? SLOT_SECOND + 1 : SLOT_FIRST + 1;
}

static bool has_statistics(size_t slot)
{
    return slot == SLOT_VALUE || slot == SLOT_AVERAGE;
}

static size_t statistics_count(const struct weight_table *table)
{
    size_t count = 0;
    for (int32_t w = 0; w < table->count; w++)
        count += weight_is_statistic(table->tensors[w].role) ? table->tensors[w].count : 0;
    return count;
}

/* Between a slot's values and what of them are running statistics, one tensor behind the other: out of the values, or
 * back. */
static void move_statistics(const struct weight_table *table, bool out, float *values, float *statistics)
{
    for (int32_t w = 0; w < table->count; w++) {
        const struct weight_tensor *tensor = &table->tensors[w];
        float *here = values + tensor->offset;
        if (!weight_is_statistic(tensor->role))
            continue;
        memcpy(out ? statistics : here, out ? here : statistics, tensor->count * sizeof(*here));
        statistics += tensor->count;
    }
}

/* Appends and takes into the checksum. A short write sticks in the stream and is found by the commit. */
static void write_part(struct file_aside *file, const void *data, size_t length, uint32_t *checksum)
{
    fwrite(data, 1, length, file->stream);
    *checksum = file_checksum_on(*checksum, data, length);
}

/* values[weights.total] of the first member, then the statistics of the others. `values` has room for those of one
 * more. */
static enum status write_slot(struct trainer *trainer, size_t slot, struct file_aside *file, float *values,
                              uint32_t *checksum, struct error *err)
{
    const struct weight_table *table = trainer_weights(trainer);
    const size_t statistics = statistics_count(table);
    enum status st = members_download(trainer, 0, (enum weight_slot)slot, values, err);
    if (st == ST_OK)
        write_part(file, values, table->total * sizeof(*values), checksum);
    for (int32_t k = 1; st == ST_OK && has_statistics(slot) && statistics > 0 && k < trainer->count; k++) {
        st = members_download(trainer, k, (enum weight_slot)slot, values, err);
        if (st != ST_OK)
            return st;
        move_statistics(table, true, values, values + table->total);
        write_part(file, values + table->total, statistics * sizeof(*values), checksum);
    }
    return st;
}

/* Slot by slot, so that no more than one is held beside the device's own. */
enum status trainer_checkpoint(struct trainer *trainer, const char *path, uint64_t note, struct error *err)
{
    const size_t floats = trainer_weights(trainer)->total, slots = slot_count(trainer);
    const size_t statistics = statistics_count(trainer_weights(trainer));
    struct checkpoint_header header = {.note = note,
                                       .weights = floats,
                                       .slots = slots,
                                       .members = (uint64_t)trainer->count,
                                       .statistics = statistics};
    struct file_aside file = {0};
    uint32_t checksum = 0;
    float *values =
        malloc((floats + statistics + 1) * sizeof(*values)); /* + 1: malloc may return NULL for nothing */
    if (values == NULL)
        return error_memory(err, "checkpoint", (floats + statistics) * sizeof(*values));

    enum status st = members_metrics(trainer, err);
    if (st == ST_OK)
        st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        goto out;
    header.state = trainer->state;
    memcpy(header.magic, MAGIC, sizeof(MAGIC));
    write_part(&file, &header, sizeof(header), &checksum);
    for (int32_t k = 0; k < trainer->count; k++)
        write_part(&file, trainer->members[k].metrics, sizeof(trainer->members[k].metrics), &checksum);
    for (size_t slot = 0; st == ST_OK && slot < slots; slot++)
        st = write_slot(trainer, slot, &file, values, &checksum, err);
    if (st != ST_OK)
        goto out;
    fwrite(&checksum, 1, sizeof(checksum), file.stream);
    st = file_aside_commit(&file, err);
out:
    file_aside_abandon(&file);
    free(values);
    return st;
}

/* Opens the file and checks it against its checksum; *file, the caller's to close on ST_OK, stands behind the
 * header. `length` is of the whole file. */
static enum status open_checked(const char *path, FILE **file, struct checkpoint_header *header,
                                size_t *length, struct error *err)
{
    char buffer[READ_BYTES];
    uint32_t checksum = 0, stored = 0;
    struct stat about;
    bool whole = false;
    FILE *stream = fopen(path, "rbe");
    if (stream == NULL)
        return error_system(err, errno, "%s", path);
    if (fstat(fileno(stream), &about) == 0 && (size_t)about.st_size >= sizeof(*header) + sizeof(stored)) {
        *length = (size_t)about.st_size;
        size_t left = *length - sizeof(stored);
        while (left > 0) {
            size_t got = fread(buffer, 1, left < sizeof(buffer) ? left : sizeof(buffer), stream);
            if (got == 0)
                break;
            checksum = file_checksum_on(checksum, buffer, got);
            left -= got;
        }
        whole = left == 0 && fread(&stored, sizeof(stored), 1, stream) == 1 && stored == checksum &&
                fseek(stream, 0, SEEK_SET) == 0 && fread(header, sizeof(*header), 1, stream) == 1 &&
                memcmp(header->magic, MAGIC, sizeof(MAGIC)) == 0;
    }
    if (whole) {
        *file = stream;
        return ST_OK;
    }
    fclose(stream);
    return error_set(err, ST_FORMAT, "%s: damaged: length, magic or checksum are wrong", path);
}

enum status checkpoint_note(const char *path, uint64_t *note, uint32_t *steps, struct error *err)
{
    struct checkpoint_header header;
    FILE *file;
    size_t length;
    enum status st = open_checked(path, &file, &header, &length, err);
    if (st != ST_OK)
        return st;
    *note = header.note;
    *steps = header.state.step;
    fclose(file);
    return ST_OK;
}

/* Sums of another number of members count as the first one's: the training goes on all the same, if not bit by bit. */
static enum status read_metrics(struct trainer *trainer, FILE *file, uint64_t members, const char *path,
                                struct error *err)
{
    double metrics[METRIC_COUNT];
    for (int32_t k = 0; k < trainer->count; k++)
        memset(trainer->members[k].metrics, 0, sizeof(metrics));
    for (uint64_t k = 0; k < members; k++) {
        if (fread(metrics, sizeof(metrics), 1, file) != 1)
            return error_set(err, ST_IO, "%s: can't be read", path);
        struct member *member = &trainer->members[members == (uint64_t)trainer->count ? k : 0];
        for (int m = 0; m < METRIC_COUNT; m++)
            member->metrics[m] += metrics[m];
    }
    return ST_OK;
}

/* What write_slot wrote, to all members. Another number of them gets the first one's statistics. */
static enum status read_slot(struct trainer *trainer, size_t slot, FILE *file, uint64_t members,
                             float *values, const char *path, struct error *err)
{
    const struct weight_table *table = trainer_weights(trainer);
    const size_t statistics = statistics_count(table);
    float *own = values + table->total;
    if (fread(values, sizeof(*values), table->total, file) != table->total)
        return error_set(err, ST_IO, "%s: can't be read", path);
    enum status st = members_upload(trainer, (enum weight_slot)slot, values, err);
    for (uint64_t k = 1; st == ST_OK && has_statistics(slot) && statistics > 0 && k < members; k++) {
        if (fread(own, sizeof(*own), statistics, file) != statistics)
            return error_set(err, ST_IO, "%s: can't be read", path);
        move_statistics(table, false, values, own);
        if (members == (uint64_t)trainer->count)
            st = members_upload_one(trainer, (int32_t)k, (enum weight_slot)slot, values, err);
    }
    return st;
}

/* A checksum is no promise: anybody can compute it. What would lead out of arrays is looked at. */
static enum status check_header(const struct trainer *trainer, const struct checkpoint_header *header,
                                const char *path, struct error *err)
{
    const struct trainer_state *state = &header->state;
    const int32_t samples = trainer_epoch_samples(trainer, state);
    if (header->members < 1 || header->members > MOST_MEMBERS)
        return error_set(err, ST_FORMAT, "%s: found %llu devices, expected 1 to %d", path,
                         (unsigned long long)header->members, MOST_MEMBERS);
    if (state->position > (uint32_t)samples || state->joined > state->step || state->averaged > 1 ||
        !(state->seconds >= 0.0))
        return error_set(
            err, ST_FORMAT,
            "%s: found a state with %u of %d samples, %u steps, %u of them before all images were "
            "trained on, %g s: no training was ever there",
            path, state->position, (int)samples, state->step, state->joined, state->seconds);
    return ST_OK;
}

enum status trainer_restore(struct trainer *trainer, const char *path, uint64_t *note, struct error *err)
{
    const size_t floats = trainer_weights(trainer)->total, slots = slot_count(trainer);
    const size_t statistics = statistics_count(trainer_weights(trainer));
    struct checkpoint_header header;
    float *values = NULL;
    FILE *file;
    size_t length;

    enum status st = open_checked(path, &file, &header, &length, err);
    if (st != ST_OK)
        return st;
    st = check_header(trainer, &header, path, err);
    if (st != ST_OK)
        goto out;
    const size_t expected = sizeof(header) + header.members * METRIC_COUNT * sizeof(double) +
                            slots * floats * sizeof(float) + sizeof(uint32_t) +
                            (header.members - 1) * (SLOT_AVERAGE + 1) * statistics * sizeof(float);
    if (length != expected || header.statistics != statistics) {
        st = error_set(err, ST_FORMAT, "%s: found %zu bytes, expected %zu for this network", path, length,
                       expected);
        goto out;
    }
    values = malloc((floats + statistics + 1) * sizeof(*values));
    if (values == NULL) {
        st = error_memory(err, "checkpoint", (floats + statistics) * sizeof(*values));
        goto out;
    }
    st = read_metrics(trainer, file, header.members, path, err);
    for (size_t slot = 0; st == ST_OK && slot < slots; slot++)
        st = read_slot(trainer, slot, file, header.members, values, path, err);
    if (st != ST_OK)
        goto out;
    trainer->state = header.state;
    if (header.members != (uint64_t)trainer->count)
        trainer->state.averaged = 1;
    *note = header.note;
    if (trainer->state.joined > 0)
        st = members_join(trainer, err);
out:
    fclose(file);
    free(values);
    return st;
}

/* ---- another training's ---- */

/* What is not the first member's is passed over. */
static enum status read_past(struct trainer_past *past, FILE *file, const struct checkpoint_header *header,
                             const struct weight_table *table, const char *path, struct error *err)
{
    const size_t others = (header->members - 1) * header->statistics * sizeof(float);
    bool whole = fseek(file, (long)(header->members * METRIC_COUNT * sizeof(double)), SEEK_CUR) == 0;
    for (size_t slot = 0; whole && slot < header->slots; slot++) {
        past->values[slot] = malloc((table->total + 1) * sizeof(float));
        if (past->values[slot] == NULL)
            return error_memory(err, "weights", table->total * sizeof(float));
        whole = fread(past->values[slot], sizeof(float), table->total, file) == table->total &&
                (!has_statistics(slot) || fseek(file, (long)others, SEEK_CUR) == 0);
    }
    return whole ? ST_OK : error_set(err, ST_IO, "%s: can't be read", path);
}

enum status trainer_past_read(struct trainer_past *past, const char *path, const struct weight_table *table,
                              struct error *err)
{
    struct checkpoint_header header;
    FILE *file;
    size_t length;
    *past = (struct trainer_past){0};
    enum status st = open_checked(path, &file, &header, &length, err);
    if (st != ST_OK)
        return st;
    if (header.weights != table->total || header.statistics != statistics_count(table) ||
        header.slots > SLOT_GRADIENT)
        st = error_set(err, ST_FORMAT, "%s: found %zu weights, expected %zu for this network", path,
                       (size_t)header.weights, table->total);
    past->state = header.state;
    past->slots = (int32_t)header.slots;
    if (st == ST_OK)
        st = read_past(past, file, &header, table, path, err);
    fclose(file);
    return st;
}

void trainer_past_free(struct trainer_past *past)
{
    for (int slot = 0; slot < SLOT_GRADIENT; slot++)
        free(past->values[slot]);
    *past = (struct trainer_past){0};
}

const float *trainer_past_evaluated(const struct trainer_past *past, float average)
{
    return past->values[average > 0.0f ? SLOT_AVERAGE : SLOT_VALUE];
}

enum status trainer_go_on(struct trainer *trainer, const struct trainer_past *past, struct error *err)
{
    enum status st = ST_OK;
    for (int32_t slot = 0; st == ST_OK && slot < past->slots; slot++)
        st = members_upload(trainer, (enum weight_slot)slot, past->values[slot], err);
    const struct trainer_state *before = &past->state;
    const bool ends = before->position + (uint32_t)trainer->settings.batch >
                      (uint32_t)trainer->members[0].device.train_count;
    trainer->state = (struct trainer_state){.step = before->step,
                                            .epoch = before->epoch + ends,
                                            .position = ends ? 0 : before->position,
                                            .averaged = 1,
                                            .begun = before->step,
                                            .best_loss = INFINITY};
    return st;
}
