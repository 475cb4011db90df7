// Draws how long ago the mirror had been compared with its source; the page says it in words too.

const DAYS_30 = 30 * 86_400
const HEIGHT = 180

/** A saw: the hours since the last comparison grow, and fall to none with the next. */
function saw({ at, fresh: { compared } }) {
  const seconds = text => Date.parse(text) / 1000
  const times = []
  const hours = []
  let last
  for (const text of compared) {
    const now = seconds(text)
    if (last !== undefined) {
      times.push(now)
      hours.push((now - last) / 3600)
    }
    times.push(now)
    hours.push(0)
    last = now
  }
  if (last !== undefined) {
    times.push(seconds(at))
    hours.push((seconds(at) - last) / 3600)
  }
  return [times, hours]
}

function draw(status) {
  const [times, hours] = saw(status)
  if (times.length === 0) return
  const place = document.getElementById('chart')
  place.hidden = false
  const ink = getComputedStyle(document.body).color
  const wanted = times.map(() => status.fresh.withinHours)
  const now = Date.parse(status.at) / 1000
  const axis = { stroke: ink, grid: { stroke: 'rgb(128 128 128 / 25%)' }, ticks: { show: false } }
  const options = {
    width: place.clientWidth,
    height: HEIGHT,
    cursor: { show: false },
    legend: { show: true, live: false },
    scales: {
      x: { min: Math.max(times[0], now - DAYS_30), max: now },
      y: { range: (_chart, _low, high) => [0, high * 1.1] },
    },
    axes: [axis, { ...axis, label: 'hours' }],
    series: [
      {},
      { label: 'since compared', stroke: ink, width: 1.5 },
      { label: 'wanted within', stroke: 'rgb(200 60 60)', dash: [6, 4], points: { show: false } },
    ],
  }
  const chart = new uPlot(options, [times, hours, wanted], place)
  window.addEventListener('resize', () => {
    chart.setSize({ width: place.clientWidth, height: HEIGHT })
  })
}

function offerCopy() {
  const button = document.getElementById('copy')
  if (navigator.clipboard === undefined) return
  button.hidden = false
  const text = document.getElementById('cargo-config').textContent
  const tell = word => {
    document.getElementById('copied').textContent = word
  }
  button.addEventListener('click', () => {
    navigator.clipboard.writeText(text).then(
      () => tell('copied'),
      () => tell('the browser does not allow it'),
    )
  })
}

offerCopy()
const answer = await fetch('api/status')
if (answer.ok) draw(await answer.json())
