/* SPDX-License-Identifier: MIT */
/* Where a list stands: cursor and first visible row. Pure arithmetic. */
#ifndef TARE_UI_KIT_LIST_H
#define TARE_UI_KIT_LIST_H

struct list {
    int count;  /* rows in all */
    int cursor; /* 0 … count-1; 0 in an empty list */
    int top;    /* first row that is shown */
    int height; /* rows that are shown */
};

/* Sets count or height and keeps cursor and top where that is possible. */
void list_set_count(struct list *list, int count);
void list_set_height(struct list *list, int height);
/* Moves the cursor by so many rows, stopping at the ends. */
void list_move(struct list *list, int by);
void list_go(struct list *list, int row);

#endif
