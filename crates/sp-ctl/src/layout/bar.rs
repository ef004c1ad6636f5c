//! Bars: so many columns, each cell used, used otherwise, or free.

use super::{Color, Paint};

/// One part of a bar: the character, its colour, and how much of the whole it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling {
    pub(crate) cell: char,
    pub(crate) color: Color,
    pub(crate) amount: f64,
}

/// A bar of `columns` cells between brackets for parts of `whole`. Each part is rounded for itself; what does not
/// fit any more is cut, so that the bar always has its width.
pub(crate) fn bar(columns: usize, whole: f64, fillings: &[Filling], paint: &Paint) -> String {
    let mut text = String::from("[");
    let mut free = columns;
    for filling in fillings {
        let share = if whole > 0.0 { (filling.amount / whole).clamp(0.0, 1.0) } else { 0.0 };
        let cells = ((share * columns as f64).round() as usize).min(free);
        free -= cells;
        text += &paint.paint(filling.color, &filling.cell.to_string().repeat(cells));
    }
    text + &" ".repeat(free) + "]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_keeps_its_width() {
        let part = |cell, amount| Filling { cell, color: Color::Green, amount };
        let plain = Paint::off();
        assert_eq!(bar(8, 8.0, &[part('#', 2.0), part('*', 1.0)], &plain), "[##*     ]");
        assert_eq!(bar(8, 8.0, &[part('#', 7.0), part('*', 9.0)], &plain), "[#######*]");
        assert_eq!(bar(8, 0.0, &[part('#', 7.0)], &plain), "[        ]");
        assert_eq!(bar(8, 8.0, &[part('#', -1.0)], &plain), "[        ]");
    }
}
