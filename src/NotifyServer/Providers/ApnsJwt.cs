using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Marmot.Hosting;

namespace Marmot.NotifyServer.Providers;

/// <summary>One provider token (ES256 JWT) for one team and key, on one schedule.</summary>
/// <remarks>Apple: valid for 60 minutes from iat, renewed at most every 20 minutes. References: RFC 7515, RFC 7518 3.4 (r||s, 64 bytes).
/// Thread-safe. Two apps with the same team and key should share an instance.</remarks>
internal sealed class ApnsJwt : IDisposable
{
    /// <summary>Apple: no more often than once in 20 minutes, whatever the server said about the current one.</summary>
    public static readonly TimeSpan MintFloor = TimeSpan.FromMinutes(20);

    /// <summary>Renewed at this age, ten minutes before Apple calls it expired.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(50);

    // Apple's hour, less what a slow request and our backdating take.
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(58);

    // A clock that is a little ahead of Apple's must not make a token from the future.
    private static readonly TimeSpan Backdate = TimeSpan.FromSeconds(30);

    // Below the floor a refused token is replaced only when our clock was set since it was made: then its date is wrong by more than Apple forgives, and no
    // later one would be.
    private static readonly TimeSpan ClockMoved = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan ClockMovedFloor = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly ECDsa _key;
    private readonly string _header;
    private readonly string _teamId;
    private readonly TimeProvider _time;
    private Token? _current;
    private Token? _previous;
    private TimeSpan _noMintBefore; // as MonotonicTime.GetUptime counts
    private string? _refused;

    public ApnsJwt(ECDsa key, string teamId, string keyId, TimeProvider time)
    {
        _key = key;
        _teamId = teamId;
        _time = time;
        _header = Base64Url.EncodeToString(Encoding.UTF8.GetBytes($$"""{"alg":"ES256","kid":"{{keyId}}"}"""));
    }

    /// <summary>Tokens made since the start.</summary>
    public int Minted { get; private set; }

    /// <summary>Age of the current token; zero when there is none.</summary>
    public TimeSpan Age
    {
        get
        {
            lock (_gate)
            {
                return _current is null ? TimeSpan.Zero : _time.GetUptime() - _current.Made;
            }
        }
    }

    /// <summary>The current token, or a new one when there is none or it is near its end.</summary>
    public string Current()
    {
        lock (_gate)
        {
            var now = _time.GetUptime();
            return (_current is null || (now - _current.Made >= Lifetime && now >= _noMintBefore) ? Mint() : _current).Text;
        }
    }

    /// <summary>After Apple called <paramref name="refused"/> expired or invalid: true when another token can be had now.</summary>
    /// <param name="refused">The token of the request.</param>
    /// <param name="expired">False: Apple called it invalid, which another token mends only if this one bears a wrong date.</param>
    /// <returns>False while the floor forbids a new one: the caller must wait, not mint.</returns>
    public bool TryReplace(string refused, bool expired)
    {
        lock (_gate)
        {
            if (_current is null || _current.Text != refused)
            {
                return true; // somebody else replaced it already
            }

            var now = _time.GetUptime();
            var moved = ((_time.GetUtcNow() - _current.Dated) - (now - _current.Made)).Duration() > ClockMoved;
            if ((!expired && !moved) || now < _noMintBefore || now - _current.Made < (moved ? ClockMovedFloor : MintFloor))
            {
                return false;
            }

            Mint();
            return true;
        }
    }

    /// <summary>After Apple called <paramref name="refused"/> one too many: true when the token before it is still young enough and stands again.</summary>
    /// <remarks>Either way nothing is minted for the floor.</remarks>
    public bool TryFallBack(string refused)
    {
        lock (_gate)
        {
            if (_current is null || _current.Text != refused)
            {
                return true; // somebody else fell back already
            }

            var now = _time.GetUptime();
            _noMintBefore = now + MintFloor;
            _refused = refused;
            if (_previous is null || now - _previous.Made >= Longest)
            {
                return false;
            }

            (_current, _previous) = (_previous, null);
            return true;
        }
    }

    /// <summary>The current token without making one; null when there is none.</summary>
    public (string Token, DateTimeOffset Dated, TimeSpan Age)? Peek()
    {
        lock (_gate)
        {
            return _current is null ? null : (_current.Text, _current.Dated, _time.GetUptime() - _current.Made);
        }
    }

    /// <summary>A new token that is not used here until <see cref="Adopt"/> takes it.</summary>
    public (string Token, DateTimeOffset Dated, TimeSpan Age) Draft()
    {
        lock (_gate)
        {
            var draft = Sign();
            return (draft.Text, draft.Dated, TimeSpan.Zero);
        }
    }

    /// <summary>Takes over a token that all replicas use, unless ours is newer.</summary>
    /// <param name="token">The token.</param>
    /// <param name="dated">When another replica made it, by that one's clock: an age out of reason is taken for the nearest possible one.</param>
    public void Adopt(string token, DateTimeOffset dated)
    {
        lock (_gate)
        {
            var age = _time.GetUtcNow() - dated;
            age = age < TimeSpan.Zero ? TimeSpan.Zero : age > Lifetime ? Lifetime : age;
            var made = _time.GetUptime() - age;
            if (token != _current?.Text && token != _refused && (_current is null || made > _current.Made))
            {
                _previous = _current;
                _current = new Token(token, dated, made);
                Minted++;
            }
        }
    }

    /// <summary>What replicas call this schedule, and a key that only they have: both from the signing key.</summary>
    public (byte[] Name, byte[] SealingKey) Identify()
    {
        var secret = _key.ExportParameters(includePrivateParameters: true).D!;
        try
        {
            var name = SHA256.HashData([.. Encoding.UTF8.GetBytes($"{_teamId}/{_header}/"), .. _key.ExportSubjectPublicKeyInfo()]);
            return (name, HKDF.DeriveKey(HashAlgorithmName.SHA256, secret, 32, salt: name, info: "marmot-server shared provider token"u8.ToArray()));
        }
        finally
        {
            CryptographicOperations.ZeroMemory(secret);
        }
    }

    public void Dispose() => _key.Dispose();

    private Token Mint()
    {
        _previous = _current;
        Minted++;
        return _current = Sign();
    }

    private Token Sign()
    {
        var now = _time.GetUtcNow();
        var claims = Base64Url.EncodeToString(Encoding.UTF8.GetBytes($$"""{"iss":"{{_teamId}}","iat":{{(now - Backdate).ToUnixTimeSeconds()}}}"""));
        var signed = $"{_header}.{claims}";
        var signature = _key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        return new Token($"{signed}.{Base64Url.EncodeToString(signature)}", now, _time.GetUptime());
    }

    /// <param name="Text">What is sent.</param>
    /// <param name="Dated">The date it was made, by the clock of its maker.</param>
    /// <param name="Made">The same moment as <see cref="MonotonicTime.GetUptime"/> counts here.</param>
    private sealed record Token(string Text, DateTimeOffset Dated, TimeSpan Made)
    {
        public override string ToString() => nameof(Token);
    }
}
