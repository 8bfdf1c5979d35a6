/* CSV lists of images: `path,label[,split]`, or the order of Google's tools, `[split,]path,label`, with or
 * without a header. A header's names tell the columns; without one the first row does. rows.c reads the text.
 *
 * With any number of labels an image: Google's `[split,]path,label,label...`; under a header a column of labels, parted
 * by | or ; and, where it is the last, also by the separator, with others of its name behind it; or a column of 0 and 1
 * for each label. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define SEVERAL_HINT "several labels an image are read with dataset.labels = \"several\""

enum column { COLUMN_PATH, COLUMN_LABEL, COLUMN_SPLIT, COLUMN_COUNT };

struct csv {
    struct data_rows rows;
    char *folder;                   /* relative paths start here */
    int32_t width;                  /* fields of the first row */
    int32_t field_of[COLUMN_COUNT]; /* which field is the column; -1: none */
    int32_t label_end;              /* labels are in the fields before it; INT32_MAX: in all to a row's end */
    char **label_names;   /* [width]: of a column for each label, the header's words; NULL for others */
    bool header;          /* the first row was one */
    bool numbered_splits; /* a split was told by a number */
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
            "maybe split; a column for each class (one-hot) is read with dataset.labels = \"several\"",
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

/* Columns of a first row that is none of a header. */
static enum status guess_columns(struct csv *csv, bool several, struct error *err)
{
    const struct data_rows *rows = &csv->rows;
    if (rows->field_count < (several ? 1 : 2) || (rows->field_count > 3 && !several))
        return error_set(err, ST_FORMAT,
                         "%s:%d: %d columns, expected path,label[,split] or [split,]path,label%s", rows->path,
                         rows->line, rows->field_count, rows->field_count > 3 ? "; " SEVERAL_HINT : "");
    const bool split_first = rows->field_count >= (several ? 2 : 3) && is_split_word(rows->fields[0]) &&
                             (rows->field_count == 3 || names_image(csv, rows->fields[1]));
    const char *last = rows->fields[rows->field_count - 1];
    if (several && !split_first && rows->field_count > 1 && data_split_of_word(last) >= 0)
        return error_set(err, ST_FORMAT,
                         "%s:%d: the last of the labels is \"%s\", expected the split to be first",
                         rows->path, rows->line, last);
    csv->field_of[COLUMN_PATH] = split_first ? 1 : 0;
    csv->field_of[COLUMN_LABEL] = split_first ? 2 : 1;
    csv->field_of[COLUMN_SPLIT] = split_first ? 0 : rows->field_count == 3 && !several ? 2 : -1;
    csv->label_end = INT32_MAX;
    return ST_OK;
}

/* Under a header that names it, columns behind the label's that have the same name hold labels, too. */
static void find_label_end(struct csv *csv)
{
    const int32_t label = csv->field_of[COLUMN_LABEL];
    int32_t end = label + 1;
    while (end < csv->width && strcasecmp(csv->rows.fields[end], csv->rows.fields[label]) == 0)
        end++;
    csv->label_end = end == csv->width ? INT32_MAX : end;
}

/* The class of a column of that name, also if no image has it. */
static enum status add_label_column(const struct csv *csv, struct data_list *list, int32_t column,
                                    struct error *err)
{
    const struct data_rows *rows = &csv->rows;
    const char *name = rows->fields[column];
    const int32_t classes = list->class_count;
    int32_t id = 0;
    if (name[0] == '\0')
        return error_set(err, ST_FORMAT, "%s:%d: column %d has no name, expected a label's", rows->path,
                         rows->line, (int)column + 1);
    enum status st = data_list_check_label(list, rows->line, name, err);
    if (st == ST_OK)
        st = data_list_class(list, name, &id, err);
    if (st == ST_OK && list->class_count == classes)
        st = error_set(err, ST_FORMAT, "%s:%d: column %d is \"%s\" again, expected each label once",
                       rows->path, rows->line, (int)column + 1, name);
    return st;
}

/* Under a header that has a path and no label all other columns but the split are labels. */
static enum status name_label_columns(struct csv *csv, struct data_list *list, struct error *err)
{
    const struct data_rows *rows = &csv->rows;
    csv->label_names = calloc((size_t)csv->width, sizeof(*csv->label_names));
    if (csv->label_names == NULL)
        return error_memory(err, "labels", (unsigned long long)csv->width * sizeof(*csv->label_names));
    for (int32_t i = 0; i < csv->width; i++) {
        if (i == csv->field_of[COLUMN_PATH] || i == csv->field_of[COLUMN_SPLIT])
            continue;
        csv->label_names[i] = strdup(rows->fields[i]);
        if (csv->label_names[i] == NULL)
            return error_memory(err, "labels", strlen(rows->fields[i]));
        if (add_label_column(csv, list, i, err) != ST_OK)
            return err->status;
    }
    return ST_OK;
}

/* Reads the columns from the first row. */
static enum status read_columns(struct csv *csv, struct data_list *list, struct error *err)
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
        find_label_end(csv);
        return ST_OK;
    }
    if (list->several && csv->field_of[COLUMN_PATH] >= 0 && csv->width > 1) {
        csv->header = true;
        return name_label_columns(csv, list, err);
    }
    if (csv->field_of[COLUMN_PATH] >= 0 || csv->field_of[COLUMN_LABEL] >= 0 ||
        (!image && rows->field_count > 1))
        return refuse_header(csv, err);
    return guess_columns(csv, list->several, err);
}

/* What is wrong with the number of fields. */
static enum status check_width(const struct csv *csv, bool several, struct error *err)
{
    const struct data_rows *rows = &csv->rows;
    const int32_t last = csv->field_of[COLUMN_PATH] > csv->field_of[COLUMN_LABEL] || several
                             ? csv->field_of[COLUMN_PATH]
                             : csv->field_of[COLUMN_LABEL];
    for (int32_t i = csv->width; i < rows->field_count && !(several && csv->label_end == INT32_MAX); i++)
        if (rows->fields[i][0] != '\0')
            return error_set(
                err, ST_FORMAT,
                "%s:%d: %d fields, expected %d as in the first row; a comma within a field needs "
                "quotes%s",
                rows->path, rows->line, rows->field_count, csv->width, several ? "" : ", and " SEVERAL_HINT);
    if (rows->field_count <= last || (csv->label_names != NULL && rows->field_count < csv->width))
        return error_set(err, ST_FORMAT, "%s:%d: %d columns, expected at least %d", rows->path, rows->line,
                         rows->field_count, csv->label_names != NULL ? csv->width : last + 1);
    return ST_OK;
}

/* What is wrong with the row's fields, before its file is looked at. */
static enum status check_row(const struct csv *csv, bool several, struct error *err)
{
    const struct data_rows *rows = &csv->rows;
    const char *path = field(csv, COLUMN_PATH), *label = field(csv, COLUMN_LABEL),
               *split = field(csv, COLUMN_SPLIT);
    if (check_width(csv, several, err) != ST_OK)
        return err->status;
    if (path[0] == '\0')
        return error_set(err, ST_FORMAT, "%s:%d: an empty path", rows->path, rows->line);
    if (!several && label[0] == '\0')
        return error_set(err, ST_FORMAT, "%s:%d: no label for %s", rows->path, rows->line, path);
    if (split != NULL && !is_split_word(split) && split_of(csv, split) < 0)
        return error_set(err, ST_FORMAT, "%s:%d: split \"%s\", expected train, validation or test%s",
                         rows->path, rows->line, split,
                         several || csv->header || csv->field_of[COLUMN_SPLIT] == 0 ? "" : "; " SEVERAL_HINT);
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

/* 1 where the field of a label's column says that the image has it, 0 where it has not, -1: neither. */
static int flag_of(const char *text)
{
    static const char *const yes[] = {"1", "1.0", "true", "yes"}, *const no[] = {"",   "0",     "0.0",
                                                                                 "-1", "false", "no"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        if (strcasecmp(text, yes[i]) == 0)
            return 1;
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (strcasecmp(text, no[i]) == 0)
            return 0;
    return -1;
}

static enum status take_flags(const struct csv *csv, struct data_list *list, struct data_item *item,
                              struct error *err)
{
    const struct data_rows *rows = &csv->rows;
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && i < csv->width; i++) {
        const int flag = csv->label_names[i] != NULL ? flag_of(rows->fields[i]) : 0;
        if (flag < 0)
            st = error_set(err, ST_FORMAT,
                           "%s:%d: column \"%s\" has \"%s\", expected 0 or 1; a column of labels' names is "
                           "called \"labels\"",
                           rows->path, rows->line, csv->label_names[i], rows->fields[i]);
        else if (flag > 0)
            st = data_list_label(list, item, csv->label_names[i], err);
    }
    return st;
}

/* The labels in one field, which is changed; empty ones are none. */
static enum status take_names(struct data_list *list, struct data_item *item, char *text, const char *marks,
                              struct error *err)
{
    enum status st = ST_OK;
    char *rest = NULL;
    for (char *name = strtok_r(text, marks, &rest); st == ST_OK && name != NULL;
         name = strtok_r(NULL, marks, &rest)) {
        name += strspn(name, " \t");
        size_t length = strlen(name);
        while (length > 0 && strchr(" \t", name[length - 1]) != NULL)
            name[--length] = '\0';
        if (length > 0)
            st = data_list_label(list, item, name, err);
    }
    return st;
}

/* All labels of the row. */
static enum status take_labels(struct csv *csv, struct data_list *list, struct data_item *item,
                               struct error *err)
{
    enum status st = ST_OK;
    item->first_label = list->label_count;
    if (csv->label_names != NULL)
        return take_flags(csv, list, item, err);
    for (int32_t i = csv->field_of[COLUMN_LABEL];
         st == ST_OK && i < csv->label_end && i < csv->rows.field_count; i++)
        st = take_names(list, item, csv->rows.fields[i], csv->header ? "|;" : "", err);
    return st;
}

/* Adds the row's image to the list; what is wrong with it alone goes through data_list_problem. */
static enum status add_row(struct csv *csv, struct data_list *list, struct error *err)
{
    struct stat about;
    int number = 0;
    struct data_item item = {.line = csv->rows.line, .split = SPLIT_TRAIN};
    if (check_row(csv, list->several, err) != ST_OK)
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
        enum status st = list->several ? take_labels(csv, list, &item, err)
                                       : data_list_class(list, field(csv, COLUMN_LABEL), &item.label, err);
        if (st == ST_OK)
            return data_list_add(list, &item, err);
        free(item.path);
        return list->several ? data_list_problem(list, err) : st;
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
    st = read_columns(csv, list, err);
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
    for (int32_t i = 0; csv.label_names != NULL && i < csv.width; i++)
        free(csv.label_names[i]);
    free(csv.label_names);
    free(csv.folder);
    data_rows_close(&csv.rows);
    return st;
}
