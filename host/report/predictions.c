#include "host/report/predictions.h"

#include "host/base/array.h"
#include "host/base/csv.h"
#include "host/base/distinct.h"
#include "host/base/file.h"

#include <stdlib.h>
#include <string.h>

#define CLASS_PREFIX "p_"
#define LABELS       "labels" /* in the place of CLASS, where images have several labels */

enum { HASH_DIGITS = 16, MOST_CLASSES = 10000 };
enum column { IMAGE, HASH, SPLIT, TRAINED, VIEWS, CLASS, PREDICTED, COLUMNS };

static const char *const column_names[COLUMNS] = {
    [IMAGE] = "image", [HASH] = "hash",   [SPLIT] = "split",         [TRAINED] = "trained",
    [VIEWS] = "views", [CLASS] = "class", [PREDICTED] = "predicted",
};

char *predictions_path(const char *folder, int64_t stage)
{
    return file_join_number(folder, "predictions", stage, ".csv");
}

char *predictions_label_text(const struct predictions *predictions, int32_t label)
{
    size_t length = 1, used = 0;
    for (int32_t k = 0; k < predictions->classes; k++)
        if (labels_have(predictions->label_sets, predictions->classes, label, k))
            length += strlen(predictions->class_names[k]) + 1;
    char *text = malloc(length);
    for (int32_t k = 0; text != NULL && k < predictions->classes; k++)
        if (labels_have(predictions->label_sets, predictions->classes, label, k)) {
            const size_t name = strlen(predictions->class_names[k]);
            if (used > 0)
                text[used++] = PREDICTIONS_BETWEEN;
            memcpy(text + used, predictions->class_names[k], name);
            used += name;
        }
    if (text != NULL)
        text[used] = '\0';
    return text;
}

/* ---- writing ---- */

static void write_head(FILE *out, const struct predictions *predictions)
{
    const bool several = predictions->label_sets != NULL;
    for (int column = 0; column < COLUMNS; column++)
        fprintf(out, "%s%s", column > 0 ? "," : "",
                several && column == CLASS ? LABELS : column_names[column]);
    for (int32_t k = 0; k < predictions->classes; k++) {
        char *name = NULL;
        fputc(',', out);
        if (asprintf(&name, CLASS_PREFIX "%s", predictions->class_names[k]) >= 0)
            csv_write(out, name);
        free(name);
    }
    fputc('\n', out);
}

static enum status write_label(FILE *out, const struct predictions *predictions, int32_t label,
                               struct error *err)
{
    if (predictions->label_sets == NULL) {
        csv_write(out, predictions->class_names[label]);
        return ST_OK;
    }
    char *text = predictions_label_text(predictions, label);
    if (text == NULL)
        return error_memory(err, LABELS, 0);
    csv_write(out, text);
    free(text);
    return ST_OK;
}

static enum status write_row(FILE *out, const struct predictions *predictions, int32_t row, struct error *err)
{
    const struct predicted_image *prediction = &predictions->rows[row];
    const float *probabilities = predictions->probabilities + (size_t)row * (size_t)predictions->classes;
    char hash[FILE_HASH_LENGTH];
    csv_write(out, prediction->image);
    file_hash_text(prediction->hash, hash);
    fprintf(out, ",%s,%s,%d,%d,", hash, prediction->validation ? "validation" : "test", prediction->trained,
            (int)prediction->views);
    enum status st = write_label(out, predictions, prediction->truth, err);
    fputc(',', out);
    if (st == ST_OK)
        st = write_label(out, predictions, prediction->predicted, err);
    for (int32_t k = 0; k < predictions->classes; k++)
        fprintf(out, ",%.9g", (double)probabilities[k]);
    fputc('\n', out);
    return st;
}

enum status predictions_write(const char *path, struct predictions *predictions, struct error *err)
{
    struct file_aside file = {0};
    char *text = NULL;
    size_t length = 0;
    enum status st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    write_head(file.stream, predictions);
    for (int32_t row = 0; st == ST_OK && row < predictions->count; row++)
        st = write_row(file.stream, predictions, row, err);
    if (st == ST_OK)
        st = file_aside_commit(&file, err);
    else
        file_aside_abandon(&file);
    if (st == ST_OK)
        st = file_read(path, &text, &length, err);
    if (st == ST_OK)
        file_hash_text(file_hash(0, text, length), predictions->hash);
    free(text);
    return st;
}

/* ---- reading ---- */

/* What is read, in the making. */
struct table {
    struct predictions *predictions;
    int32_t row_capacity, probability_capacity; /* which grow together */
    bool several;                               /* images have several labels */
    struct distinct sets;                       /* of them */
    uint8_t *set;                               /* [classes]: the one at hand */
};

static enum status wrong(const struct csv_rows *rows, const char *found, const char *expected,
                         struct error *err)
{
    return error_set(err, ST_FORMAT, "%s:%lld: found \"%.80s\", expected %s", rows->path,
                     (long long)rows->line, found, expected);
}

/* The names stay where they are in the text. */
static enum status read_head(struct csv_rows *rows, struct table *table, struct error *err)
{
    struct predictions *predictions = table->predictions;
    bool more = false;
    enum status st = csv_next(rows, &more, err);
    if (st != ST_OK)
        return st;
    const int32_t classes = rows->field_count - COLUMNS;
    if (!more || classes < 1 || classes > MOST_CLASSES)
        return error_set(err, ST_FORMAT,
                         "%s:1: found %d columns, expected %d and one for each of 1 to %d classes",
                         rows->path, (int)rows->field_count, COLUMNS, MOST_CLASSES);
    table->several = strcmp(rows->fields[CLASS], LABELS) == 0;
    for (int column = 0; column < COLUMNS; column++)
        if (strcmp(rows->fields[column], column_names[column]) != 0 && !(table->several && column == CLASS))
            return wrong(rows, rows->fields[column],
                         column == CLASS ? "class, or " LABELS : column_names[column], err);
    predictions->class_names = calloc((size_t)classes, sizeof(*predictions->class_names));
    if (predictions->class_names == NULL)
        return error_memory(err, "class names", (size_t)classes * sizeof(*predictions->class_names));
    predictions->classes = classes;
    table->sets.width = (size_t)classes;
    table->set = malloc((size_t)classes);
    if (table->set == NULL)
        return error_memory(err, LABELS, (size_t)classes);
    for (int32_t k = 0; k < classes; k++) {
        char *name = rows->fields[COLUMNS + k];
        if (strncmp(name, CLASS_PREFIX, strlen(CLASS_PREFIX)) != 0)
            return wrong(rows, name, "a class behind \"" CLASS_PREFIX "\"", err);
        predictions->class_names[k] = name + strlen(CLASS_PREFIX);
    }
    return ST_OK;
}

/* The class whose name has that length; -1: none has it. */
static int32_t find_class(const struct predictions *predictions, const char *name, size_t length)
{
    for (int32_t k = 0; k < predictions->classes; k++)
        if (strlen(predictions->class_names[k]) == length &&
            memcmp(predictions->class_names[k], name, length) == 0)
            return k;
    return -1;
}

/* The number of the set of labels that the field names. */
static enum status read_set(const struct csv_rows *rows, enum column column, struct table *table,
                            int32_t *label, struct error *err)
{
    static const char between[] = {PREDICTIONS_BETWEEN, '\0'};
    const char *field = rows->fields[column];
    memset(table->set, 0, table->sets.width);
    for (const char *name = field; *field != '\0' && name != NULL;) {
        const size_t length = strcspn(name, between);
        const int32_t class = find_class(table->predictions, name, length);
        if (class < 0 || table->set[class] != 0)
            return wrong(rows, field, "names of classes with \"|\" between them, each once", err);
        table->set[class] = 1;
        name = name[length] != '\0' ? name + length + 1 : NULL;
    }
    return distinct_number(&table->sets, table->set, label, err);
}

static enum status read_label(const struct csv_rows *rows, enum column column, struct table *table,
                              int32_t *label, struct error *err)
{
    const char *name = rows->fields[column];
    if (table->several)
        return read_set(rows, column, table, label, err);
    *label = find_class(table->predictions, name, strlen(name));
    return *label >= 0 ? ST_OK : wrong(rows, name, "the name of a class", err);
}

static enum status read_hash(const struct csv_rows *rows, uint64_t *hash, struct error *err)
{
    const char *text = rows->fields[HASH], *digits = text + strlen(FILE_HASH_MARK);
    if (strncmp(text, FILE_HASH_MARK, strlen(FILE_HASH_MARK)) != 0 || strlen(digits) != HASH_DIGITS ||
        strspn(digits, "0123456789abcdef") != HASH_DIGITS)
        return wrong(rows, text, "\"" FILE_HASH_MARK "\" and 16 hexadecimal digits", err);
    *hash = strtoull(digits, NULL, 16);
    return ST_OK;
}

static enum status read_split(const struct csv_rows *rows, struct predicted_image *row, struct error *err)
{
    const char *split = rows->fields[SPLIT], *trained = rows->fields[TRAINED], *views = rows->fields[VIEWS];
    row->validation = strcmp(split, "validation") == 0;
    if (!row->validation && strcmp(split, "test") != 0)
        return wrong(rows, split, "test or validation", err);
    row->trained = strcmp(trained, "1") == 0;
    if ((!row->trained && strcmp(trained, "0") != 0) || (row->trained && !row->validation))
        return wrong(rows, trained, "0, or 1 for a validation image", err);
    row->views = views[0] >= '1' && views[0] <= '9' && views[1] == '\0' ? views[0] - '0' : 0;
    return row->views > 0 ? ST_OK : wrong(rows, views, "a number of views from 1 to 9", err);
}

static enum status read_probabilities(const struct csv_rows *rows, int32_t classes, float *probabilities,
                                      struct error *err)
{
    for (int32_t k = 0; k < classes; k++) {
        const char *text = rows->fields[COLUMNS + k];
        char *end;
        const double value = strtod(text, &end);
        if (*text == '\0' || *end != '\0' || !(value >= 0.0 && value <= 1.0))
            return wrong(rows, text, "a probability from 0 to 1", err);
        probabilities[k] = (float)value;
    }
    return ST_OK;
}

static enum status make_room(struct table *table, struct error *err)
{
    struct predictions *predictions = table->predictions;
    struct predicted_image *rows = array_with_room(predictions->rows, predictions->count,
                                                   &table->row_capacity, sizeof(*rows), "predictions", err);
    if (rows == NULL)
        return err->status;
    predictions->rows = rows;
    float *probabilities =
        array_with_room(predictions->probabilities, predictions->count, &table->probability_capacity,
                        (size_t)predictions->classes * sizeof(*probabilities), "predictions", err);
    if (probabilities == NULL)
        return err->status;
    predictions->probabilities = probabilities;
    return ST_OK;
}

static enum status read_row(const struct csv_rows *rows, struct table *table, struct error *err)
{
    struct predictions *predictions = table->predictions;
    const int32_t wanted = COLUMNS + predictions->classes;
    struct predicted_image *row = &predictions->rows[predictions->count];
    float *probabilities =
        predictions->probabilities + (size_t)predictions->count * (size_t)predictions->classes;
    if (rows->field_count != wanted)
        return error_set(err, ST_FORMAT, "%s:%lld: found %d fields, expected %d", rows->path,
                         (long long)rows->line, (int)rows->field_count, (int)wanted);
    row->image = rows->fields[IMAGE];
    enum status st = read_hash(rows, &row->hash, err);
    if (st == ST_OK)
        st = read_split(rows, row, err);
    if (st == ST_OK)
        st = read_label(rows, CLASS, table, &row->truth, err);
    if (st == ST_OK)
        st = read_label(rows, PREDICTED, table, &row->predicted, err);
    if (st == ST_OK)
        st = read_probabilities(rows, predictions->classes, probabilities, err);
    predictions->count += st == ST_OK;
    return st;
}

static enum status read_rows(struct csv_rows *rows, struct predictions *predictions, struct error *err)
{
    struct table table = {.predictions = predictions};
    bool more = true;
    enum status st = read_head(rows, &table, err);
    while (st == ST_OK && more) {
        st = csv_next(rows, &more, err);
        if (st == ST_OK && more)
            st = make_room(&table, err);
        if (st == ST_OK && more)
            st = read_row(rows, &table, err);
    }
    if (st == ST_OK && table.several) { /* without rows there is a set as well, so that it is seen */
        int32_t empty;
        memset(table.set, 0, table.sets.width);
        if (table.sets.count == 0)
            st = distinct_number(&table.sets, table.set, &empty, err);
        predictions->label_sets = table.sets.rows;
        predictions->label_set_count = table.sets.count;
        table.sets.rows = NULL;
    }
    distinct_free(&table.sets);
    free(table.set);
    return st;
}

enum status predictions_read(const char *path, struct predictions *predictions, struct error *err)
{
    size_t length = 0;
    *predictions = (struct predictions){0};
    enum status st = file_read(path, &predictions->text, &length, err);
    if (st != ST_OK)
        return st;
    file_hash_text(file_hash(0, predictions->text, length), predictions->hash);
    struct csv_rows rows = csv_open(path, predictions->text, length);
    st = read_rows(&rows, predictions, err);
    csv_close(&rows);
    if (st != ST_OK)
        predictions_free(predictions);
    return st;
}

void predictions_free(struct predictions *predictions)
{
    free(predictions->class_names);
    free(predictions->label_sets);
    free(predictions->rows);
    free(predictions->probabilities);
    free(predictions->text);
    *predictions = (struct predictions){0};
}

int32_t predictions_tests(const struct predictions *predictions)
{
    int32_t count = 0;
    while (count < predictions->count && !predictions->rows[count].validation)
        count++;
    return count;
}
