/* What journal.c, which writes lines, and journal_read.c share. */
#ifndef NASRUN_JOURNAL_JOURNAL_INTERNAL_H
#define NASRUN_JOURNAL_JOURNAL_INTERNAL_H

/* Every line ends with this; the eight digits stand between CRC_HEAD and CRC_FOOT. */
#define CRC_HEAD ",\"crc\":\""
#define CRC_FOOT "\"}"
enum { CRC_DIGITS = 8, CRC_HEAD_LENGTH = 8, CRC_LENGTH = CRC_HEAD_LENGTH + CRC_DIGITS + 2 };

#endif
