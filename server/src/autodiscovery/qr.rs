//! A QR code as a picture inside a page.

use core::fmt::Write;
use qrcodegen::{QrCode, QrCodeEcc};

/// The white margin that a reader needs, in modules (ISO 18004 §9.1).
const MARGIN: i32 = 4;

/// The code of a text as SVG; none if it is too long for one.
pub(super) fn svg(text: &str, label: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * MARGIN;
    let mut path = String::new();
    for y in 0..code.size() {
        // One rectangle for each run of dark modules.
        let mut x = 0;
        while x < code.size() {
            let run = (x..code.size())
                .take_while(|x| code.get_module(*x, y))
                .count() as i32;
            if run > 0 {
                let (left, top) = (x + MARGIN, y + MARGIN);
                // Writing to a string does not fail.
                let _written = write!(path, "M{left} {top}h{run}v1h-{run}z");
            }
            x += run.max(1);
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" role=\"img\" \
         aria-label=\"{label}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/>\
         <path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_the_modules_of_the_code() {
        let svg = svg("https://mail.example.org", "x").unwrap();
        let code = QrCode::encode_text("https://mail.example.org", QrCodeEcc::Medium).unwrap();
        let (_, path) = svg.split_once(" d=\"").unwrap();
        let (path, _) = path.split_once('"').unwrap();
        let mut dark = 0;
        for run in path.split('M').skip(1) {
            let (place, rest) = run.split_once('h').unwrap();
            let (x, y) = place.split_once(' ').unwrap();
            let run: i32 = rest.split_once('v').unwrap().0.parse().unwrap();
            let (x, y): (i32, i32) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((x..x + run).all(|x| code.get_module(x - MARGIN, y - MARGIN)));
            dark += run;
        }
        let all = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
        let expected = all.filter(|(x, y)| code.get_module(*x, *y)).count();
        assert_eq!(usize::try_from(dark), Ok(expected));
    }

    #[test]
    fn what_is_too_long_has_none() {
        assert_eq!(svg(&"x".repeat(3_000), "x"), None);
    }
}
