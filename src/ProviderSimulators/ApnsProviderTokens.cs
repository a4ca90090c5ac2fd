using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Marmot.ProviderSimulators;

/// <summary>A provider's refusal as it goes on the wire.</summary>
internal readonly record struct ApnsRefusal(int Status, string Reason);

/// <summary>
/// Apple's side of the provider token: <c>bearer</c> JWT, ES256, header kid, claims iss and iat, at most 60 minutes old, at most
/// one new token per key in 20 minutes, one team and one key per connection. Thread-safe; shared by all connections.
/// </summary>
internal sealed class ApnsProviderTokens(ApnsSimulatorOptions options, IReadOnlyList<ApnsSigningKey> keys)
{
    private const int MaxTokenChars = 4096;

    private static readonly ApnsRefusal Invalid = new(403, "InvalidProviderToken");
    private static readonly ApnsRefusal Expired = new(403, "ExpiredProviderToken");

    private readonly Lock _gate = new();
    private readonly Dictionary<string, DateTimeOffset> _revoked = [];
    private readonly Dictionary<(string Team, string Key), Updates> _updates = [];

    /// <summary>From this time on, tokens of the key are invalid.</summary>
    public void Revoke(string keyId, DateTimeOffset at)
    {
        lock (_gate) _revoked[keyId] = at;
    }

    /// <summary>Distinct tokens accepted so far: how often the sender has minted.</summary>
    public int AcceptedCount
    {
        get { lock (_gate) return _updates.Values.Sum(updates => updates.Accepted); }
    }

    /// <summary>Null when the token is good; then <paramref name="key"/> is its key.</summary>
    public ApnsRefusal? Check(string? authorization, ref string? connectionKey, out ApnsSigningKey? key)
    {
        key = null;
        // 1. Shape
        const string Scheme = "bearer ";
        if (string.IsNullOrEmpty(authorization)) return new(403, "MissingProviderToken");
        if (!authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) || authorization.Length > MaxTokenChars) return Invalid;
        var token = authorization[Scheme.Length..];
        if (token.Length == 0) return new(403, "MissingProviderToken");
        if (!TryParse(token, out var parsed)) return Invalid;
        // 2. Key, team, signature
        key = keys.FirstOrDefault(known => known.KeyId == parsed.KeyId);
        if (key is null || key.TeamId != parsed.TeamId || parsed.Algorithm != "ES256") return Invalid;
        if (!key.PublicKey.VerifyData(parsed.Signed, parsed.Signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation))
        {
            return Invalid;
        }

        var now = options.Clock.GetUtcNow();
        lock (_gate)
        {
            if (_revoked.TryGetValue(key.KeyId, out var revokedAt) && now >= revokedAt) return Invalid;
        }
        if (key.Environment is { } environment && environment != options.Environment) return new(403, "BadEnvironmentKeyIdInToken");
        // 3. Time
        var age = now - parsed.IssuedAt;
        if (age < -options.ClockSkew) return Invalid;
        if (age > options.ProviderTokenLifetime) return Expired;
        // 4. One team and key a connection
        var identity = key.TeamId + "/" + key.KeyId;
        if (connectionKey is not null && connectionKey != identity)
        {
            return connectionKey.StartsWith(key.TeamId + "/", StringComparison.Ordinal) ? new(403, "UnrelatedKeyIdInToken") : Invalid;
        }
        // 5. Pace of new tokens
        if (!TryAdmit(key, token, now)) return new(429, "TooManyProviderTokenUpdates");
        connectionKey = identity;
        return null;
    }

    private bool TryAdmit(ApnsSigningKey key, string token, DateTimeOffset now)
    {
        lock (_gate)
        {
            if (!_updates.TryGetValue((key.TeamId, key.KeyId), out var updates)) _updates[(key.TeamId, key.KeyId)] = updates = new Updates();
            // The same token may be used by every connection and server for as long as it lives.
            if (updates.Known.ContainsKey(token)) return true;
            if (updates.Last is { } last && now - last < options.ProviderTokenUpdateInterval) return false;
            foreach (var (old, seen) in updates.Known.ToArray())
            {
                if (now - seen > options.ProviderTokenLifetime + options.ClockSkew) updates.Known.Remove(old);
            }
            updates.Known[token] = now;
            updates.Last = now;
            updates.Accepted++;
            return true;
        }
    }

    private static bool TryParse(string token, out ParsedToken parsed)
    {
        parsed = default;
        var parts = token.Split('.');
        if (parts.Length != 3) return false;
        try
        {
            using var header = JsonDocument.Parse(Base64Url.DecodeFromChars(parts[0]));
            using var claims = JsonDocument.Parse(Base64Url.DecodeFromChars(parts[1]));
            parsed = new ParsedToken(
                Text(header, "alg"), Text(header, "kid"), Text(claims, "iss"),
                DateTimeOffset.FromUnixTimeSeconds(claims.RootElement.GetProperty("iat").GetInt64()),
                Encoding.ASCII.GetBytes(parts[0] + "." + parts[1]), Base64Url.DecodeFromChars(parts[2]));
            return true;
        }
        catch (Exception failure)
            when (failure is JsonException or FormatException or KeyNotFoundException or InvalidOperationException or ArgumentOutOfRangeException)
        {
            return false;
        }
    }

    private static string Text(JsonDocument document, string name) => document.RootElement.GetProperty(name).GetString() ?? "";

    private readonly record struct ParsedToken(string Algorithm, string KeyId, string TeamId, DateTimeOffset IssuedAt, byte[] Signed, byte[] Signature);

    private sealed class Updates
    {
        public Dictionary<string, DateTimeOffset> Known { get; } = [];
        public DateTimeOffset? Last { get; set; }
        public int Accepted { get; set; }
    }
}
