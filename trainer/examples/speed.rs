use avdit_core::{Latents, Layout, Noise, Purpose, Stream};
use avdit_trainer::{Examples, Result, StartOptions, TrainConfig, train};
use std::path::Path;
struct R(Layout);
impl Examples for R {
    fn layout(&self) -> &Layout { &self.0 }
    fn count(&self) -> usize { 100 }
    fn read(&self, index: usize) -> Result<Latents> {
        let mut l = Latents::zeros(&self.0, 1);
        Noise::new(9).normals(Stream::new(Purpose::Check, 0, index as u32), &mut l.video);
        Ok(l)
    }
}
fn main() {
    let layout = avdit_nets::AvditConfig::preset("tiny").unwrap().layout();
    let config = TrainConfig::parse("data='x'\nout='/tmp/speedrun'\n[objective]\ntarget='v'\nschedule='cosine'\n[run]\nsteps=60\nbatch=32\ncheckpoint_every=1000", Path::new("x")).unwrap();
    let mut t = vec![];
    train(&config, &R(layout), StartOptions::default(), &mut |m| t.push(m.step_ms), &|| false).unwrap();
    t.sort_by(f64::total_cmp);
    println!("median {:.1} min {:.1} ms", t[t.len()/2], t[0]);
}
