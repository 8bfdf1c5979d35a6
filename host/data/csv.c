/* CSV lists of images: `path,label[,split]`, or the order of Google's tools, `[split,]path,label`, with or
 * without a header. A header's names tell the columns; without one the first row does. rows.c reads the text. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum column { COLUMN_PATH, COLUMN_LABEL, COLUMN_SPLIT, COLUMN_COUNT };

struct csv {
    struct data_rows rows;
    char *folder;                   /* relative paths start here */
    int32_t width;                  /* fields of the first row */
    int32_t field_of[COLUMN_COUNT]; /* which field is the column; -1: none */
    bool header;                    /* the first row was one */
    bool numbered_splits;           /* a split was told by a number */
};

/* The field that is the column, or NULL. */
static const char *field(const struct csv *csv, enum column column)
{
    const int32_t at = csv->field_of[column];
    return at >= 0 && at < csv->rows.field_count ? csv->rows.fields[at] : NULL;
}

/* The column that a header's word names, -1: none. */
static int column_of_word(const char *word)
{
    static const struct {
        const char *word;
        enum column column;
    } words[] = {
        {"path", COLUMN_PATH},       {"file", COLUMN_PATH},       {"filename", COLUMN_PATH},
        {"file_name", COLUMN_PATH},  {"filenames", COLUMN_PATH},  {"filepath", COLUMN_PATH},
        {"file_path", COLUMN_PATH},  {"filepaths", COLUMN_PATH},  {"image", COLUMN_PATH},
        {"images", COLUMN_PATH},     {"image_path", COLUMN_PATH}, {"image_file", COLUMN_PATH},
        {"image_name", COLUMN_PATH}, {"image_id", COLUMN_PATH},   {"img", COLUMN_PATH},
        {"img_path", COLUMN_PATH},   {"image_uri", COLUMN_PATH},  {"uri", COLUMN_PATH},
        {"label", COLUMN_LABEL},     {"labels", COLUMN_LABEL},    {"class", COLUMN_LABEL},
        {"classes", COLUMN_LABEL},   {"category", COLUMN_LABEL},  {"class_name", COLUMN_LABEL},
        {"class_id", COLUMN_LABEL},  {"target", COLUMN_LABEL},    {"split", COLUMN_SPLIT},
        {"set", COLUMN_SPLIT},       {"subset", COLUMN_SPLIT},    {"data_set", COLUMN_SPLIT},
        {"dataset", COLUMN_SPLIT},   {"ml_use", COLUMN_SPLIT},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(word, words[i].word) == 0)
            return (int)words[i].column;
    return -1;
}

/* Google's lists call images that are to be split later UNASSIGNED, or leave the field empty. */
static bool is_split_word(const char *word)
{
    return word[0] == '\0' || strcasecmp(word, "unassigned") == 0 || data_split_of_word(word) >= 0;
}

/* The split that a field tells, in words or, under a header, in Ludwig's numbers; -1: none. */
static int split_of(const struct csv *csv, const char *word)
{
    if (csv->header && strlen(word) == 1 && word[0] >= '0' && word[0] <= '2')
        return word[0] == '0' ? SPLIT_TRAIN : word[0] == '1' ? SPLIT_VALIDATION : SPLIT_TEST;
    return data_split_of_word(word);
}

/* The row as it stands in the file, more or less, and cut short. */
static const char *row_text(const struct csv *csv, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 0; i < csv->rows.field_count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? "," : "", csv->rows.fields[i]);
    return text;
}

static enum status refuse_header(const struct csv *csv, struct error *err)
{
    char text[80];
    const bool path = csv->field_of[COLUMN_PATH] >= 0, label = csv->field_of[COLUMN_LABEL] >= 0;
    row_text(csv, text, sizeof(text));
    if (path && csv->rows.field_count > 2)
        return error_set(
            err, ST_FORMAT,
            "%s:%d: the header %s has no column \"label\" (or class, category), expected path, label and "
            "maybe split; a column for each class (one-hot) is not read",
            csv->rows.path, csv->rows.line, text);
    return error_set(err, ST_FORMAT,
                     "%s:%d: the header %s has no column %s, expected path, label and maybe split",
                     csv->rows.path, csv->rows.line, text,
                     path    ? "\"label\" (or class, category)"
                     : label ? "\"path\" (or image, file, filename)"
                             : "that is known");
}

/* Whether the field names a file of an image, as rows do and headers don't. */
static bool names_image(const struct csv *csv, const char *name)
{
    bool other = false;
    struct stat about;
    if (data_is_image_name(name, &other) || other)
        return true;
    char *path = name[0] == '/' ? strdup(name) : file_join(csv->folder, name);
    const bool is_file = path != NULL && name[0] != '\0' && stat(path, &about) == 0 && S_ISREG(about.st_mode);
    free(path);
    return is_file;
}

/* Reads the columns from the first row. */
static enum status read_columns(struct csv *csv, struct error *err)
{
    bool image = false;
    const struct data_rows *rows = &csv->rows;
    csv->width = rows->field_count;
    for (int column = 0; column < COLUMN_COUNT; column++)
        csv->field_of[column] = -1;
    for (int32_t i = 0; i < rows->field_count && !image; i++)
        image = names_image(csv, rows->fields[i]);
    for (int32_t i = 0; i < rows->field_count && !image; i++) {
        int column = column_of_word(rows->fields[i]);
        if (column >= 0 && csv->field_of[column] < 0)
            csv->field_of[column] = i;
    }
    if (csv->field_of[COLUMN_PATH] >= 0 && csv->field_of[COLUMN_LABEL] >= 0) {
        csv->header = true;
        return ST_OK;
    }
    if (csv->field_of[COLUMN_PATH] >= 0 || csv->field_of[COLUMN_LABEL] >= 0 ||
        (!image && rows->field_count > 1))
        return refuse_header(csv, err);
    if (rows->field_count < 2 || rows->field_count > 3)
        return error_set(err, ST_FORMAT,
                         "%s:%d: %d columns, expected path,label[,split] or [split,]path,label", rows->path,
                         rows->line, rows->field_count);
    bool split_first = rows->field_count == 3 && is_split_word(rows->fields[0]);
    csv->field_of[COLUMN_PATH] = split_first ? 1 : 0;
    csv->field_of[COLUMN_LABEL] = split_first ? 2 : 1;
    csv->field_of[COLUMN_SPLIT] = rows->field_count == 2 ? -1 : split_first ? 0 : 2;
    return ST_OK;
}

/* What is wrong with the row's fields, before its file is looked at. */
static enum status check_row(const struct csv *csv, struct error *err)
{
    const struct data_rows *rows = &csv->rows;
    const char *path = field(csv, COLUMN_PATH), *label = field(csv, COLUMN_LABEL),
               *split = field(csv, COLUMN_SPLIT);
    for (int32_t i = csv->width; i < rows->field_count; i++)
        if (rows->fields[i][0] != '\0')
            return error_set(
                err, ST_FORMAT,
                "%s:%d: %d fields, expected %d as in the first row; a comma within a field needs quotes",
                rows->path, rows->line, rows->field_count, csv->width);
    if (path == NULL || label == NULL)
        return error_set(err, ST_FORMAT, "%s:%d: %d columns, expected at least %d", rows->path, rows->line,
                         rows->field_count,
                         1 + (csv->field_of[COLUMN_PATH] > csv->field_of[COLUMN_LABEL]
                                  ? csv->field_of[COLUMN_PATH]
                                  : csv->field_of[COLUMN_LABEL]));
    if (path[0] == '\0')
        return error_set(err, ST_FORMAT, "%s:%d: an empty path", rows->path, rows->line);
    if (label[0] == '\0')
        return error_set(err, ST_FORMAT, "%s:%d: no label for %s", rows->path, rows->line, path);
    if (split != NULL && !is_split_word(split) && split_of(csv, split) < 0)
        return error_set(err, ST_FORMAT, "%s:%d: split \"%s\", expected train, validation or test",
                         rows->path, rows->line, split);
    const char *scheme = strstr(path, "://");
    if (scheme != NULL && strspn(path, "abcdefghijklmnopqrstuvwxyz0123456789") == (size_t)(scheme - path))
        return error_set(
            err, ST_UNSUPPORTED,
            "%s:%d: %s: nothing is read from %.*s://, expected paths of files; copy them here first and "
            "take what stands before their names out of the list",
            rows->path, rows->line, path, (int)(scheme - path), path);
    return ST_OK;
}

/* The path of the row's file, malloc'd, NULL when out of memory. Where there is none of that name, backslashes are
 * taken for what Windows means by them. */
static char *path_of_row(const struct csv *csv, const char *name, struct stat *about, int *number)
{
    char *path = name[0] == '/' ? strdup(name) : file_join(csv->folder, name);
    if (path == NULL)
        return NULL;
    *number = stat(path, about) == 0 ? 0 : errno;
    if (*number == 0 || strchr(name, '\\') == NULL)
        return path;
    for (char *at = path + strlen(path) - strlen(name); *at != '\0'; at++)
        if (*at == '\\')
            *at = '/';
    *number = stat(path, about) == 0 ? 0 : errno;
    return path;
}

/* Adds the row's image to the list; what is wrong with it alone goes through data_list_problem. */
static enum status add_row(struct csv *csv, struct data_list *list, struct error *err)
{
    struct stat about;
    int number = 0;
    struct data_item item = {.line = csv->rows.line, .split = SPLIT_TRAIN};
    if (check_row(csv, err) != ST_OK)
        return data_list_problem(list, err);
    const char *name = field(csv, COLUMN_PATH), *split = field(csv, COLUMN_SPLIT);
    if (split != NULL) {
        const int told = split_of(csv, split);
        item.split = told >= 0 ? (uint8_t)told : SPLIT_TRAIN;
        csv->numbered_splits |= told >= 0 && split[0] >= '0' && split[0] <= '9';
    }
    item.path = path_of_row(csv, name, &about, &number);
    if (item.path == NULL)
        return error_memory(err, name, strlen(name));
    if (number != 0) {
        data_file_error(err, number, item.path);
        error_prefix(err, "%s:%d", csv->rows.path, csv->rows.line);
    } else if (!S_ISREG(about.st_mode)) {
        error_set(err, ST_FORMAT, "%s:%d: %s: is no regular file, expected an image", csv->rows.path,
                  csv->rows.line, item.path);
    } else {
        item.size = about.st_size;
        item.modified = (int64_t)about.st_mtim.tv_sec * 1000000000 + about.st_mtim.tv_nsec;
        enum status st = data_list_class(list, field(csv, COLUMN_LABEL), &item.label, err);
        if (st == ST_OK)
            return data_list_add(list, &item, err);
        free(item.path);
        return st;
    }
    free(item.path);
    return data_list_problem(list, err);
}

/* The folder that relative paths start from: the job's, or the CSV file's own. */
static char *choose_folder(const struct job_dataset *job)
{
    if (job->images != NULL && job->images[0] != '\0')
        return strdup(job->images);
    const char *slash = strrchr(job->path, '/');
    if (slash == NULL)
        return strdup(".");
    return strndup(job->path, slash > job->path ? (size_t)(slash - job->path) : 1);
}

static enum status read_rows(struct csv *csv, struct data_list *list, struct error *err)
{
    bool more = false;
    enum status st = data_rows_next(&csv->rows, &more, err);
    if (st != ST_OK)
        return st;
    if (!more)
        return error_set(err, ST_FORMAT, "%s: no rows, expected path,label[,split]", csv->rows.path);
    st = read_columns(csv, err);
    if (st == ST_OK && csv->header)
        st = data_rows_next(&csv->rows, &more, err);
    while (st == ST_OK && more) {
        st = data_list_goes_on(list, err);
        if (st == ST_OK)
            st = add_row(csv, list, err);
        if (st == ST_OK)
            st = data_rows_next(&csv->rows, &more, err);
    }
    if (st == ST_OK && csv->numbered_splits)
        data_list_say(list, "%s: splits by number are taken as Ludwig's: 0 training, 1 validation, 2 test",
                      csv->rows.path);
    return st;
}

enum status data_list_csv(const struct job_dataset *job, struct data_list *list, struct error *err)
{
    struct csv csv = {0};
    enum status st = data_rows_open(&csv.rows, job->path, err);
    if (st != ST_OK)
        goto out;
    csv.folder = choose_folder(job);
    if (csv.folder == NULL) {
        st = error_memory(err, job->path, strlen(job->path));
        goto out;
    }
    st = read_rows(&csv, list, err);
out:
    free(csv.folder);
    data_rows_close(&csv.rows);
    return st;
}
