#include "host/run/display.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

void display_open(struct display *display, FILE *out, int verbosity)
{
    *display =
        (struct display){.out = out, .verbosity = verbosity, .live = verbosity >= 0 && isatty(fileno(out))};
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

static void print_one(const struct display *display, const struct display_progress *p)
{
    fprintf(display->out,
            "\r\033[K  model %d  epoch %.1f  %3.0f%%  %.1f batch/s  %.0f images/s  loss %.4f  acc %.4f",
            p->id, p->epochs_done, 100.0 * p->progress, p->batches_per_second, p->images_per_second, p->loss,
            p->accuracy);
}

static void print_all(const struct display *display)
{
    double images_per_second = 0.0;
    fprintf(display->out, "\r\033[K ");
    for (int k = 0; k < DISPLAY_TRAININGS; k++) {
        if (!display->training[k])
            continue;
        fprintf(display->out, " %d:%.0f%%", (int)display->shown[k].id, 100.0 * display->shown[k].progress);
        images_per_second += display->shown[k].images_per_second;
    }
    fprintf(display->out, "  %.0f images/s", images_per_second);
}

void display_progress(struct display *display, int32_t row, const struct display_progress *p)
{
    int trainings = 0;
    if (!display->live)
        return;
    display->training[row] = true;
    display->shown[row] = *p;
    for (int k = 0; k < DISPLAY_TRAININGS; k++)
        trainings += display->training[k];
    if (trainings == 1)
        print_one(display, p);
    else
        print_all(display);
    if (!isnan(p->seconds_left)) {
        int seconds = (int)fmax(p->seconds_left, 0.0);
        fprintf(display->out, "  %d:%02d left", seconds / 60, seconds % 60);
    }
    fflush(display->out);
    display->line_open = true;
}

void display_model(struct display *display, int32_t row, const struct display_model *m)
{
    char parent[16] = "-";
    display->training[row] = false;
    if (display->verbosity < 0)
        return;
    end_line(display);
    if (!display->header_shown)
        fprintf(display->out, "%5s %6s  %-44s %10s %9s %9s %8s\n", "model", "parent", "operations",
                "parameters", "val loss", "val acc", "seconds");
    display->header_shown = true;
    if (m->parent >= 0)
        snprintf(parent, sizeof(parent), "%d", m->parent);
    if (isnan(m->accuracy))
        fprintf(display->out, "%5d %6s  failed after %.1f s: %s\n", m->id, parent, m->seconds, m->operations);
    else
        fprintf(display->out, "%5d %6s  %-44.44s %10lld %9.4f %9.4f %8.1f%s\n", m->id, parent, m->operations,
                (long long)m->parameters, m->loss, m->accuracy, m->seconds, m->final ? "  final" : "");
    fflush(display->out);
}

void display_close(struct display *display)
{
    end_line(display);
    fflush(display->out);
}
