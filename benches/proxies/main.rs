//! Scaffold.
mod bare;
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "bare", passing, answering, upstream, header, body] => {
            bare::serve(passing.parse()?, answering.parse()?, upstream.parse()?, [header.parse()?, body.parse()?])
        }
        _ => Ok(()),
    }
}
