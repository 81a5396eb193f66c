// Watermarks: the place of a record in its stream, as text whose byte order is the order of the stream.

// The digits of base 64, in rising byte order.
const DIGITS = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

// The watermark of a record; null where it does not tell its place.
export function watermark(arn, sequenceNumber) {
    const label = /\/stream\/(.*)$/.exec(arn)?.[1].replace(/[^0-9]/g, "");
    if (![label, sequenceNumber].every((text) => /^[0-9]{1,60}$/.test(text))) {
        return null;
    }
    return number(label) + number(sequenceNumber);
}

// A decimal number so that longer text is a greater number and, at equal length, greater text is.
function number(decimal) {
    const high = base64(BigInt(decimal.slice(0, -30)));
    const low = base64(BigInt(decimal.slice(-30)));
    const text = high === "" ? low : high + low.padStart(17, DIGITS[0]);
    return DIGITS[text.length] + text;
}

// A number in as few digits as it needs, none for 0.
function base64(number) {
    return number === 0n ? "" : base64(number >> 6n) + DIGITS[Number(number & 63n)];
}
