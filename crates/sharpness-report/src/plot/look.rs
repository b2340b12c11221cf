use super::series::{Series, Style};
use super::{Area, PALETTE, px, text};
use plotters::prelude::*;

const FEW_POINTS: usize = 40;

/// Thresholds are dashed and thin; all others differ in colour, dash and marker.
pub(super) fn looks(series: &[Series]) -> Vec<Look> {
    let mut kinds = 0..;
    let color_of = |kind: usize| PALETTE[kind % PALETTE.len()];
    let look = |series: &Series| match series.style {
        Style::Threshold => Look {
            color: series.belongs_to.map_or(BLACK, color_of),
            dash: Some((9, 4)),
            width: if series.belongs_to.is_some() { 1 } else { 2 },
            has_markers: false,
            kind: 0,
        },
        style => {
            let kind = kinds.next().unwrap_or(0);
            Look {
                color: color_of(series.belongs_to.unwrap_or(kind)),
                dash: [None, Some((6, 3)), Some((2, 2)), Some((12, 4))][kind % 4],
                width: 2,
                has_markers: style == Style::Points || series.points.len() <= FEW_POINTS,
                kind,
            }
        }
    };
    series.iter().map(look).collect()
}

pub(super) struct Look {
    pub(super) color: RGBColor,
    pub(super) dash: Option<(i32, i32)>,
    pub(super) width: i32,
    pub(super) has_markers: bool,
    kind: usize,
}

impl Look {
    pub(super) fn draw_sample(
        &self,
        area: &Area<'_>,
        style: Style,
        (x, y): (i32, i32),
    ) -> Result<(), String> {
        if style != Style::Points {
            let (on, off) = self.dash.unwrap_or((28, 0));
            for from in (0..28).step_by((on + off) as usize) {
                let to = (from + on).min(28);
                let line = vec![(x + px(from), y), (x + px(to), y)];
                let stroke = self.color.stroke_width(px(self.width) as u32);
                area.draw(&PathElement::new(line, stroke)).map_err(text)?;
            }
        }
        if self.has_markers {
            self.draw_marker(area, (x + px(14), y))?;
        }
        Ok(())
    }

    pub(super) fn draw_marker(&self, area: &Area<'_>, at: (i32, i32)) -> Result<(), String> {
        let filled = self.color.filled();
        let outlined = self.color.stroke_width(px(2) as u32);
        let (x, y) = at;
        let half = px(4);
        match self.kind % 4 {
            0 => area.draw(&Circle::new(at, half, filled)),
            1 => area.draw(&Rectangle::new(
                [(x - half, y - half), (x + half, y + half)],
                filled,
            )),
            2 => area.draw(&TriangleMarker::new(at, px(6), filled)),
            _ => area.draw(&Cross::new(at, half, outlined)),
        }
        .map_err(text)
    }
}

pub(super) fn dash((on, off): (i32, i32)) -> (u32, u32) {
    (px(on) as u32, px(off) as u32)
}
