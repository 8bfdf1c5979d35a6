#include "host/run/display.h"

#include "host/base/clock.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Without a terminal, and where that does not tell. */
enum { COLUMNS_USUAL = 80, COLUMNS_MOST = 132, COLUMNS_LEAST = 20, LINE_LENGTH = 1024, DATE_LENGTH = 21 };
/* Between two lines of progress without a terminal. */
static const double MINUTE = 60.0;

void display_open(struct display *display, FILE *out, int verbosity)
{
    *display = (struct display){.out = out,
                                .verbosity = verbosity,
                                .live = verbosity >= 0 && isatty(fileno(out)),
                                .said = clock_seconds()};
}

/* A terminal may change it at any time. */
static int columns_of(const struct display *display)
{
    struct winsize size;
    int columns = display->columns;
    if (columns == 0 && display->live && ioctl(fileno(display->out), TIOCGWINSZ, &size) == 0)
        columns = size.ws_col;
    if (columns == 0)
        return COLUMNS_USUAL;
    return columns < COLUMNS_LEAST ? COLUMNS_LEAST : columns > COLUMNS_MOST ? COLUMNS_MOST : columns;
}

void display_time(double seconds, char text[DISPLAY_TIME_LENGTH])
{
    const long long whole = (long long)fmin(fmax(seconds, 0.0), 1e12);
    snprintf(text, DISPLAY_TIME_LENGTH, "%lld:%02d:%02d", whole / 3600, (int)(whole / 60 % 60),
             (int)(whole % 60));
}

static void end_line(struct display *display)
{
    if (display->line_open)
        fputs("\r\033[K", display->out);
    display->line_open = false;
}

void display_say(struct display *display, int level, const char *format, ...)
{
    va_list arguments;
    if (display->verbosity < level)
        return;
    end_line(display);
    va_start(arguments, format);
    vfprintf(display->out, format, arguments);
    va_end(arguments);
    fputc('\n', display->out);
    fflush(display->out);
}

void display_result(struct display *display, const char *format, ...)
{
    char date[DATE_LENGTH];
    va_list arguments;
    if (display->verbosity < 0)
        return;
    end_line(display);
    clock_date(date, sizeof(date));
    if (!display->live)
        fprintf(display->out, "%s  ", date);
    va_start(arguments, format);
    vfprintf(display->out, format, arguments);
    va_end(arguments);
    fputc('\n', display->out);
    fflush(display->out);
}

/* ---- the line of progress ---- */

/* Parts of a line, with how soon each is left out where the line is too long: 0: never. */
enum { PARTS_MOST = 8, PART_LENGTH = 48 };
struct parts {
    int count;
    char texts[PARTS_MOST][PART_LENGTH];
    int ranks[PARTS_MOST];
};

__attribute__((format(printf, 3, 4))) static void add(struct parts *parts, int rank, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parts->texts[parts->count], PART_LENGTH, format, arguments);
    va_end(arguments);
    parts->ranks[parts->count++] = rank;
}

static int length_of(const struct parts *parts)
{
    int length = 0;
    for (int i = 0; i < parts->count; i++)
        length += (int)strlen(parts->texts[i]);
    return length;
}

static void drop_one(struct parts *parts)
{
    int worst = 0;
    for (int i = 1; i < parts->count; i++)
        worst = parts->ranks[i] > parts->ranks[worst] ? i : worst;
    parts->texts[worst][0] = '\0';
    parts->ranks[worst] = 0;
}

/* What fits into so many columns; what can't be left out is cut. */
static void join(struct parts *parts, int columns, char line[LINE_LENGTH])
{
    int end = 0;
    for (int i = 0; i < PARTS_MOST && length_of(parts) > columns; i++)
        drop_one(parts);
    for (int i = 0; i < parts->count; i++)
        end += snprintf(line + end, (size_t)(LINE_LENGTH - end), "%s", parts->texts[i]);
    line[columns < LINE_LENGTH ? columns : LINE_LENGTH - 1] = '\0';
}

static void add_left(struct parts *parts, double seconds_left)
{
    char text[DISPLAY_TIME_LENGTH];
    if (isnan(seconds_left))
        return;
    display_time(seconds_left, text);
    add(parts, 1, "  %s left", text);
}

static void one_line(const struct display_progress *p, int columns, char line[LINE_LENGTH])
{
    struct parts parts = {0};
    add(&parts, 0, "  model %d", p->id);
    add(&parts, 3, "  epoch %.1f", p->epochs_done);
    add(&parts, 0, "  %3.0f%%", 100.0 * p->progress);
    add(&parts, 7, "  %.1f batch/s", p->batches_per_second);
    add(&parts, 6, "  %.0f images/s", p->images_per_second);
    if (!isnan(p->loss))
        add(&parts, 4, "  loss %.4f", p->loss);
    if (!isnan(p->accuracy))
        add(&parts, 5, "  acc %.4f", p->accuracy);
    add_left(&parts, p->seconds_left);
    join(&parts, columns, line);
}

/* Each one's share that is done, as many as fit. */
static void line_of_all(const struct display *display, double seconds_left, int columns,
                        char line[LINE_LENGTH])
{
    struct parts parts = {0};
    char list[LINE_LENGTH] = " ";
    int end = 1;
    double images_per_second = 0.0;
    for (int k = 0; k < DISPLAY_TRAININGS; k++) {
        const struct display_progress *p = &display->shown[k];
        if (!display->training[k])
            continue;
        images_per_second += p->images_per_second;
        end +=
            snprintf(list + end, sizeof(list) - (size_t)end, " %d:%.0f%%", (int)p->id, 100.0 * p->progress);
    }
    add(&parts, 2, "  %.0f images/s", images_per_second);
    add_left(&parts, seconds_left);
    const int room = columns - length_of(&parts);
    if (end > room)
        end = snprintf(list + (room > 3 ? room - 3 : 0), 4, "...");
    end = snprintf(line, LINE_LENGTH, "%s", list);
    join(&parts, columns - end, line + end);
}

/* Of a new epoch nothing is known at first. */
static void remember(struct display *display, int32_t row, const struct display_progress *p)
{
    const struct display_progress before = display->shown[row];
    const bool same = display->training[row] && before.id == p->id;
    display->training[row] = true;
    display->shown[row] = *p;
    if (isnan(p->loss)) {
        display->shown[row].loss = same ? before.loss : NAN;
        display->shown[row].accuracy = same ? before.accuracy : NAN;
    }
}

void display_progress(struct display *display, int32_t row, const struct display_progress *p)
{
    char line[LINE_LENGTH];
    int trainings = 0;
    const int columns = columns_of(display) - 1; /* in the last one a terminal may wrap */
    if (display->verbosity < 0)
        return;
    remember(display, row, p);
    if (!display->live && clock_seconds() - display->said < MINUTE)
        return;
    for (int k = 0; k < DISPLAY_TRAININGS; k++)
        trainings += display->training[k];
    if (trainings == 1)
        one_line(&display->shown[row], columns, line);
    else
        line_of_all(display, p->seconds_left, columns, line);
    if (display->live) {
        fprintf(display->out, "\r\033[K%s", line);
        fflush(display->out);
        display->line_open = true;
    } else {
        display_result(display, "%s", line + strspn(line, " "));
        display->said = clock_seconds();
    }
}

/* ---- rows ---- */

/* All columns but that of the operations, with the gaps. */
enum { OTHER_COLUMNS = 50 };

void display_model(struct display *display, int32_t row, const struct display_model *m)
{
    char parent[16] = "-";
    const int wide = columns_of(display) > OTHER_COLUMNS + 16 ? columns_of(display) - OTHER_COLUMNS : 16;
    display->training[row] = false;
    if (display->verbosity < 0)
        return;
    end_line(display);
    if (!display->header_shown)
        fprintf(display->out, "%5s %6s  %-*s %10s %8s %7s %7s\n", "model", "parent", wide, "operations",
                "parameters", "val loss", "val acc", "seconds");
    display->header_shown = true;
    if (m->parent >= 0)
        snprintf(parent, sizeof(parent), "%d", m->parent);
    if (isnan(m->accuracy))
        fprintf(display->out, "%5d %6s  failed after %.1f s: %s\n", m->id, parent, m->seconds, m->operations);
    else
        fprintf(display->out, "%5d %6s  %-*.*s %10lld %8.4f %7.4f %7.1f\n", m->id, parent, wide, wide,
                m->operations, (long long)m->parameters, m->loss, m->accuracy, m->seconds);
    fflush(display->out);
}

void display_close(struct display *display)
{
    end_line(display);
    fflush(display->out);
}
