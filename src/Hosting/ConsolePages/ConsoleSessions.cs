using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Marmot.Hosting.Settings;
using Marmot.Platform.Files;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.ConsolePages;

/// <summary>Who has logged in to the console. In memory: a restart logs everybody out.</summary>
/// <param name="storage">The data folder, where <c>console login</c> leaves a one-time code.</param>
/// <param name="time">The clock.</param>
public sealed class ConsoleSessions(IOptions<StorageOptions> storage, TimeProvider time)
{
    private const int CodeBytes = 32;
    private const int MaxEntries = 200;
    private const string CodeFileName = "console.login";
    private static readonly TimeSpan Lifetime = TimeSpan.FromHours(12);
    private static readonly TimeSpan CodeLifetime = TimeSpan.FromMinutes(10);
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Session> _sessions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TimeSpan> _nonces = new(StringComparer.Ordinal);

    /// <summary>Somebody who has logged in.</summary>
    public sealed class Session
    {
        /// <summary>Who.</summary>
        public required string By { get; init; }

        /// <summary>What forms send back.</summary>
        public required string Csrf { get; init; }

        /// <summary>What the next page says of the last action; taken once.</summary>
        public ActionOutcome? Outcome { get; set; }

        internal TimeSpan Until { get; init; }
    }

    /// <summary>A new session.</summary>
    /// <returns>Its secret, for the cookie.</returns>
    public string Open(string by)
    {
        var secret = RandomText();
        lock (_lock)
        {
            DropEnded();
            _sessions[secret] = new Session { By = by, Csrf = RandomText(), Until = time.GetUptime() + Lifetime };
        }

        return secret;
    }

    /// <summary>The session of a cookie; null when there is none, or it has ended.</summary>
    public Session? Find(string? secret)
    {
        lock (_lock)
        {
            return secret is not null && _sessions.TryGetValue(secret, out var session) && session.Until > time.GetUptime() ? session : null;
        }
    }

    /// <summary>Ends one.</summary>
    public void Close(string? secret)
    {
        lock (_lock)
        {
            _sessions.Remove(secret ?? "");
        }
    }

    /// <summary>Something to be signed once, within ten minutes.</summary>
    public string CreateNonce()
    {
        var nonce = RandomText();
        lock (_lock)
        {
            DropEnded();
            _nonces[nonce] = time.GetUptime() + CodeLifetime;
        }

        return nonce;
    }

    /// <summary>Uses one up; false when it is not ours, too old or used.</summary>
    public bool TryTakeNonce(string nonce)
    {
        lock (_lock)
        {
            return _nonces.Remove(nonce, out var until) && until > time.GetUptime();
        }
    }

    /// <summary>Makes a one-time code for who may write to the data folder; the folder keeps its hash.</summary>
    /// <returns>The code.</returns>
    public static string CreateCode(string dataDirectory, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(time);
        var code = RandomText();
        var until = time.GetUtcNow().ToUnixTimeSeconds() + (long)CodeLifetime.TotalSeconds;
        AtomicFile.Replace(
            Path.Combine(dataDirectory, CodeFileName), Encoding.ASCII.GetBytes($"{HashOf(code)} {until.ToString(CultureInfo.InvariantCulture)}\n"),
                UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return code;
    }

    /// <summary>Uses a one-time code up; false when it is none, too old or used.</summary>
    public bool TryTakeCode(string code)
    {
        var path = Path.Combine(storage.Value.DataDirectory, CodeFileName);
        lock (_lock)
        {
            if (!File.Exists(path) || File.ReadAllText(path).Split(' ') is not [var hash, var until])
            {
                return false;
            }

            var isRight = CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(hash), Encoding.ASCII.GetBytes(HashOf(code)));
            var isInTime = long.TryParse(until.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var end) && time.GetUtcNow()
                .ToUnixTimeSeconds() < end;
            if (isRight)
            {
                File.Delete(path);
            }

            return isRight && isInTime;
        }
    }

    private static string HashOf(string code) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(code)));

    private static string RandomText() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(CodeBytes));

    private void DropEnded()
    {
        var now = time.GetUptime();
        foreach (var (secret, _) in _sessions.Where(session => session.Value.Until <= now).ToList())
        {
            _sessions.Remove(secret);
        }

        foreach (var (nonce, _) in _nonces.Where(nonce => nonce.Value <= now).ToList())
        {
            _nonces.Remove(nonce);
        }

        // Full: the oldest go. Sessions are opened by administrators only; nonces are drawn by whoever sees the login page.
        foreach (var secret in _sessions.OrderBy(session => session.Value.Until).Take(_sessions.Count - MaxEntries).Select(session => session.Key).ToList())
        {
            _sessions.Remove(secret);
        }

        foreach (var nonce in _nonces.OrderBy(nonce => nonce.Value).Take(_nonces.Count - MaxEntries).Select(nonce => nonce.Key).ToList())
        {
            _nonces.Remove(nonce);
        }
    }
}
