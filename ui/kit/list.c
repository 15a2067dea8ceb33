/* SPDX-License-Identifier: MIT */
/* Where a list stands. */
#include "ui/kit/list.h"

#include "base/mem.h"

static void settle(struct list *list)
{
    list->cursor = MAX(MIN(list->cursor, list->count - 1), 0);
    if (list->cursor < list->top)
        list->top = list->cursor;
    if (list->height > 0 && list->cursor >= list->top + list->height)
        list->top = list->cursor - list->height + 1;
    list->top = MAX(MIN(list->top, list->count - list->height), 0);
}

void list_set_count(struct list *list, int count)
{
    list->count = count;
    settle(list);
}

void list_set_height(struct list *list, int height)
{
    list->height = MAX(height, 0);
    settle(list);
}

void list_move(struct list *list, int by)
{
    list->cursor += by;
    settle(list);
}

void list_go(struct list *list, int row)
{
    list->cursor = row;
    settle(list);
}
