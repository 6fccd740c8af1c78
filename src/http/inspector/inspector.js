'use strict';
const $ = (id) => document.getElementById(id);
const tone = { published: 'good', journaled: 'good', handshake: 'good', duplicate: 'faint', ignored: 'faint',
  spooled: 'warn', quarantined: 'warn', rejected: 'bad', refused: 'bad', aborted: 'bad' };
let token = '';
let deliveries = [];
let timer = 0;

function say(text, bad) {
  $('state').textContent = text;
  $('state').className = bad ? 'bad' : '';
}

async function load() {
  let answer;
  try {
    answer = await fetch('deliveries', { headers: { authorization: `Bearer ${token}` } });
  } catch {
    say('The gateway does not answer.', true);
    return;
  }
  if (!answer.ok) {
    clearInterval(timer);
    say((await answer.text()).trim(), true);
    return;
  }
  deliveries = await answer.json();
  $('token-form').hidden = true;
  $('filter').hidden = false;
  $('table').hidden = false;
  offer($('source'), deliveries.map((d) => d.source));
  offer($('outcome'), deliveries.map((d) => d.outcome));
  show();
}

function offer(select, values) {
  const known = new Set([...select.options].map((option) => option.value));
  for (const value of [...new Set(values)].sort()) {
    if (!known.has(value)) select.add(new Option(value, value));
  }
}

function show() {
  const [source, outcome, text] = [$('source').value, $('outcome').value, $('text').value.toLowerCase()];
  const rows = deliveries.filter((d) => (!source || d.source === source) && (!outcome || d.outcome === outcome)
    && (!text || JSON.stringify(d).toLowerCase().includes(text)));
  $('rows').replaceChildren(...rows.map(row));
  say(deliveries.length === 0 ? 'No delivery yet.' : `${rows.length} of ${deliveries.length} deliveries.`);
}

function row(d) {
  const tr = document.createElement('tr');
  const cell = (text, name) => {
    const td = document.createElement('td');
    td.textContent = text ?? '';
    if (name) td.className = name;
    tr.append(td);
  };
  cell(new Date(d.received).toISOString().replace('T', ' ').slice(0, 23));
  cell(d.source);
  cell(d.outcome, `outcome ${tone[d.outcome] ?? ''}`);
  cell(d.status);
  cell(d.reason ?? d.events.join(', '), 'why');
  cell(d.sender ?? '', 'faint');
  cell(d.bytes, 'number');
  cell(d.milliseconds.toFixed(1), 'number');
  return tr;
}

$('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token').value;
  load();
  clearInterval(timer);
  timer = setInterval(() => { if ($('live').checked && !document.hidden) load(); }, 2000);
});
for (const id of ['source', 'outcome', 'text']) $(id).addEventListener('input', show);
