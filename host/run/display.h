/* What nasrun shows while it runs: one live line for what is in training, where there is a terminal, and else a line a
 * minute with the time; a table row for each finished model. All but sentences fits the terminal, or 80 columns. */
#ifndef NASRUN_RUN_DISPLAY_H
#define NASRUN_RUN_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { DISPLAY_TRAININGS = 64 }; /* that are shown at once, the most */

struct display_progress {
    int32_t id;
    double epochs_done; /* with the part of this one */
    double progress;    /* of this training, 0 to 1 */
    double batches_per_second, images_per_second;
    double loss, accuracy; /* of this epoch so far; NAN: nothing is known, and what was last shown stays */
    double seconds_left;   /* of the stage's budget; NAN when counted otherwise */
};

struct display {
    FILE *out;
    int verbosity;  /* -1: nothing; 0; 1: also a line for each epoch */
    bool live;      /* out is a terminal: live lines are shown */
    int columns;    /* 0: as many as the terminal has when it is asked */
    double said;    /* clock_seconds of the last line of progress, without a terminal */
    bool line_open; /* a live line stands unfinished */
    bool header_shown;
    bool training[DISPLAY_TRAININGS]; /* by row: which of these are shown */
    struct display_progress shown[DISPLAY_TRAININGS];
};

struct display_model {
    int32_t id, parent;     /* parent -1: none */
    const char *operations; /* of a failed one: why it failed */
    int64_t parameters;
    double loss, accuracy, seconds; /* NAN for a failed one */
};

/* Seconds as "h:mm:ss"; negative ones as 0. */
enum { DISPLAY_TIME_LENGTH = 32 };
void display_time(double seconds, char text[DISPLAY_TIME_LENGTH]);

void display_open(struct display *display, FILE *out, int verbosity);
/* A line of text; `level` 0 shows it unless quiet, 1 only when verbose. */
void display_say(struct display *display, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* `row`: below DISPLAY_TRAININGS, each training in hand has its own; display_model ends what is shown there. With
 * several of them the line has each one's share that is done, and the images a second of all. */
void display_progress(struct display *display, int32_t row, const struct display_progress *progress);
void display_model(struct display *display, int32_t row, const struct display_model *model);
/* A line of text with the date and time before it where there is no terminal; level 0. */
void display_result(struct display *display, const char *format, ...) __attribute__((format(printf, 2, 3)));
void display_close(struct display *display); /* ends a live line */

#endif
