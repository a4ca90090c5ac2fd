using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Marmot.NotifyServer.Providers;

/// <summary>One provider token (ES256 JWT) for one team and key, on one schedule.</summary>
/// <remarks>Apple: valid for 60 minutes from iat, renewed at most every 20 minutes. References: RFC 7515, RFC 7518 3.4 (r||s, 64 bytes).
/// Thread-safe. Two apps with the same team and key should share an instance.</remarks>
internal sealed class ApnsJwt : IDisposable
{
    /// <summary>Apple: no more often than once in 20 minutes, whatever the server said about the current one.</summary>
    public static readonly TimeSpan MintFloor = TimeSpan.FromMinutes(20);

    /// <summary>Renewed at this age, ten minutes before Apple calls it expired.</summary>
    public static readonly TimeSpan Life = TimeSpan.FromMinutes(50);

    // Apple's hour, less what a slow request and our backdating take.
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(58);

    // A clock that is a little ahead of Apple's must not make a token from the future.
    private static readonly TimeSpan Backdate = TimeSpan.FromSeconds(30);

    private readonly Lock _gate = new();
    private readonly ECDsa _key;
    private readonly string _header;
    private readonly string _teamId;
    private readonly TimeProvider _time;
    private string? _token;
    private string? _previous;
    private DateTimeOffset _minted;
    private DateTimeOffset _previousMinted;
    private DateTimeOffset _noMintBefore;
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
                return _token is null ? TimeSpan.Zero : _time.GetUtcNow() - _minted;
            }
        }
    }

    /// <summary>The current token, or a new one when there is none or it is near its end.</summary>
    public string Current()
    {
        lock (_gate)
        {
            var now = _time.GetUtcNow();
            return _token is null || (now - _minted >= Life && now >= _noMintBefore) ? Mint() : _token;
        }
    }

    /// <summary>After Apple called <paramref name="refused"/> expired: true when another token can be had now.</summary>
    /// <returns>False while the floor forbids a new one: the caller must wait, not mint.</returns>
    public bool TryReplace(string refused)
    {
        lock (_gate)
        {
            if (_token != refused)
            {
                return true; // somebody else replaced it already
            }

            if (_time.GetUtcNow() - _minted < MintFloor)
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
            var now = _time.GetUtcNow();
            if (_token != refused)
            {
                return true; // somebody else fell back already
            }

            _noMintBefore = now + MintFloor;
            _refused = refused;
            if (_previous is null || now - _previousMinted >= Longest)
            {
                return false;
            }

            (_token, _minted, _previous) = (_previous, _previousMinted, null);
            return true;
        }
    }

    /// <summary>The current token without making one; null when there is none.</summary>
    public (string Token, DateTimeOffset Minted)? Peek()
    {
        lock (_gate)
        {
            return _token is null ? null : (_token, _minted);
        }
    }

    /// <summary>A new token that is not used here until <see cref="Adopt"/> takes it.</summary>
    public (string Token, DateTimeOffset Minted) Draft()
    {
        lock (_gate)
        {
            var minted = _time.GetUtcNow();
            return (Sign(minted), minted);
        }
    }

    /// <summary>Takes over a token that all replicas use, unless ours is newer.</summary>
    public void Adopt(string token, DateTimeOffset minted)
    {
        lock (_gate)
        {
            if (token != _token && token != _refused && (_token is null || minted > _minted))
            {
                (_previous, _previousMinted) = (_token, _minted);
                (_token, _minted) = (token, minted);
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

    private string Mint()
    {
        (_previous, _previousMinted) = (_token, _minted);
        _minted = _time.GetUtcNow();
        Minted++;
        return _token = Sign(_minted);
    }

    private string Sign(DateTimeOffset minted)
    {
        var claims = Base64Url.EncodeToString(Encoding.UTF8.GetBytes($$"""{"iss":"{{_teamId}}","iat":{{(minted - Backdate).ToUnixTimeSeconds()}}}"""));
        var signed = $"{_header}.{claims}";
        var signature = _key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        return $"{signed}.{Base64Url.EncodeToString(signature)}";
    }
}
