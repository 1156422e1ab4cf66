// Formats of strings as regular expressions. Each is a part of what the format's own standard allows: enough to write
// every value that people mean, and nothing that a strict validator would refuse.

const month31 = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])";
const month30 = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)";
const february = "02-(?:0[1-9]|1[0-9]|2[0-8])";
const leapYear = "[0-9]{2}(?:0[48]|[2468][048]|[13579][26])";
const date = `(?:[0-9]{4}-(?:${month31}|${month30}|${february})|${leapYear}-02-29)`;
const clock = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?";
const zone = "(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])";
const label = "[A-Za-z0-9]{1,15}(?:-[A-Za-z0-9]{1,15}){0,3}"; // never "--", which begins what only Punycode may say
const host = `${label}(?:\\.${label}){0,5}`;
const byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const pathChar = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})";
const segment = "[A-Za-z0-9._~-]{1,32}";
const path = `(?:/${pathChar}*)*(?:\\?(?:${pathChar}|[/?])*)?(?:#(?:${pathChar}|[/?])*)?`;
const uri = `(?:https?|ftp|wss?|file)://${host}(?::[1-9][0-9]{0,3})?${path}`;
const hex = "[0-9a-fA-F]";

const n = "[0-9]{1,4}";
const days = `(?:${n}Y(?:${n}M(?:${n}D)?)?|${n}M(?:${n}D)?|${n}D)`;
const times = `(?:${n}H(?:${n}M(?:${n}S)?)?|${n}M(?:${n}S)?|${n}S)`;
const email = `[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,16}){0,2}@(?:${label}\\.){1,4}[A-Za-z]{2,12}`;
const reference = `${uri}|/?${segment}${path}`;
const pointer = "(?:/(?:[A-Za-z0-9._-]|~[01])*)*";

const sources: Record<string, string> = {
  date,
  time: clock + zone,
  "date-time": `${date}T${clock}${zone}`,
  duration: `P(?:${n}W|${days}(?:T${times})?|T${times})`,
  email,
  "idn-email": email,
  hostname: host,
  "idn-hostname": host,
  ipv4: `${byte}(?:\\.${byte}){3}`,
  ipv6: `(?:${hex}{1,4}:){7}${hex}{1,4}|(?:${hex}{1,4}:){1,4}(?::${hex}{1,4}){1,3}|::1|::`,
  uri,
  url: `https?://(?:${label}\\.){1,3}[A-Za-z]{2,6}(?:/${segment}){0,4}`,
  iri: uri,
  "uri-template": `https?://${host}(?:/${segment}){0,4}`,
  "uri-reference": reference,
  "iri-reference": reference,
  "json-pointer": pointer,
  "relative-json-pointer": `(?:0|[1-9][0-9]{0,3})(?:#|${pointer})`,
  regex: "[A-Za-z0-9 _:;,-]*",
  uuid: `${hex}{8}-${hex}{4}-[1-8]${hex}{3}-[89abAB]${hex}{3}-${hex}{12}`,
};

export const formats: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(sources).map(([name, source]) => [name, `^(?:${source})$`]),
);
