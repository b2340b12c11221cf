//! Draws charts as SVG, readable by the colour-blind and in grey.

mod axis;
mod chart;
mod heat_map;
mod legend;
mod look;
mod series;

pub use axis::Axis;
pub(crate) use axis::format_number;
pub use chart::{Chart, Mark};
pub use heat_map::HeatMap;
pub(crate) use legend::shortened;
pub use series::{Series, Style};
pub use sharpness_record::Scale;

use legend::{Entry, Legend};
use plotters::coord::Shift;
use plotters::prelude::*;
use resvg::{tiny_skia, usvg};
use sharpness_record::shown::printable;
use std::fmt::Display;
use thiserror::Error;

/// Okabe and Ito's colours that are dark enough on white.
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 94, 0),
];
const FONT: &str = "sans-serif";
/// plotters places everything on whole pixels, so a larger drawing gives smooth lines.
const SCALE: i32 = 8;

const fn px(pixels: i32) -> i32 {
    pixels * SCALE
}

fn font(size: i32) -> (&'static str, i32) {
    (FONT, px(size))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a picture below its title and the entries of its legend; `height` has room for one row of them.
fn svg(
    title: &str,
    entries: Vec<Entry>,
    (width, height): (i32, i32),
    draw: impl FnOnce(&Area<'_>, &Legend) -> Result<(), String>,
) -> Result<String, String> {
    let legend = Legend::new(title, entries, width)?;
    let height = height + legend.more_height();
    let mut svg = String::new();
    {
        let size = (px(width) as u32, px(height) as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(text)?;
        draw(&area, &legend)?;
        area.present().map_err(text)?;
    }
    let drawn = format!("width=\"{}\" height=\"{}\"", px(width), px(height));
    let shown = format!("width=\"{width}\" height=\"{height}\"");
    // Some characters are invalid in XML, even as entities.
    Ok(printable(&svg.replacen(&drawn, &shown, 1)).into_owned())
}

/// Renders an SVG as PNG, `scale` times larger, in this crate's own font.
///
/// # Errors
///
/// Fails if the text is no SVG.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, PlotError> {
    rendered(svg, scale).map_err(|reason| PlotError::new("PNG", reason))
}

fn rendered(svg: &str, scale: f32) -> Result<Vec<u8>, String> {
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    fonts.set_sans_serif_family("Ubuntu");
    options.font_family = "Ubuntu".to_string();
    let tree = usvg::Tree::from_str(svg, &options).map_err(text)?;
    let size = tree.size().to_int_size().scale_by(scale);
    let size = size.ok_or_else(|| format!("the scale is {scale}"))?;
    let pixels = tiny_skia::Pixmap::new(size.width(), size.height());
    let mut pixels = pixels.ok_or("it has no size")?;
    let transform = tiny_skia::Transform::from_scale(scale, scale);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels.encode_png().map_err(text)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// A picture that could not be drawn.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
#[error("the plot \"{title}\" cannot be drawn: {reason}")]
pub struct PlotError {
    /// The title of the picture.
    pub title: String,
    /// The reason.
    pub reason: String,
}

impl PlotError {
    fn new(title: &str, reason: String) -> Self {
        let title = title.to_string();
        Self { title, reason }
    }
}
