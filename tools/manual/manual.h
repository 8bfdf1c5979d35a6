/* What the files of this folder share: each writes one form of the same tables, commands and keys of a job. */
#ifndef NASRUN_TOOLS_MANUAL_MANUAL_H
#define NASRUN_TOOLS_MANUAL_MANUAL_H

#include "host/base/command.h"
#include "spec/schema.h"

/* All programs; ends with NULL. */
extern const struct command *const manual_commands[];

void manual_man_page(const struct command *command, FILE *out);
void manual_man_keys(FILE *out); /* nasrun.cfg(5) */
void manual_bash(const struct command *command, FILE *out);
void manual_zsh(const struct command *command, FILE *out);

/* What can stand behind KEY=, separated by blanks: choices but for those ending in ":N", true and false, auto. Empty
 * for numbers, texts and paths. */
void manual_key_words(const struct spec_key *key, char words[SPEC_TEXT_MAX]);
/* Whether the key's value is a file or folder, or any text. */
bool manual_key_is_file(const struct spec_key *key);

#endif
