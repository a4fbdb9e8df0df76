/** `0.4 s`, `12 s`, `3 min 5 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/**
 * Whether a line is a log message of buildctl itself (by logrus, or Go's http2). Such a message is never the reason
 * why a build fails.
 */
export function isClientLog(line: string): boolean {
  return /^time="[^"]*" level=(debug|info|warning|error) |^\d{4}\/\d\d\/\d\d [\d:]{8} http2: /.test(line);
}
