//! What `npm run try:real` builds from a mirror of real crates: each of the four does a little work,
//! so that build scripts, procedural macros and linked code have all been through the mirror.

use clap::Parser;
use regex::Regex;
use serde::Serialize;

#[derive(Parser)]
struct Options {
    #[arg(long, default_value = "ferry 4 crates")]
    text: String,
}

#[derive(Serialize)]
struct Passengers {
    count: u32,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let found = tokio::spawn(async move { passengers(&options.text) }).await;
    println!("{} passengers", found.expect("the task ends").count);
}

fn passengers(text: &str) -> Passengers {
    let digits = Regex::new(r"\d+").expect("a good pattern");
    let count = digits.find(text).map_or(0, |found| found.as_str().parse().expect("digits"));
    Passengers { count }
}
