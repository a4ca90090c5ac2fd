using System.Security.Cryptography;

namespace Marmot.NotifyServer.Providers;

/// <summary>The provider tokens of all apps: one schedule for each team and key, kept over a reload, since Apple counts by key and not by our
/// objects.</summary>
/// <remarks>Thread-safe. Lives as long as the server.</remarks>
internal sealed class ApnsJwts(TimeProvider time) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(string Team, string KeyId, string PublicKey), ApnsJwt> _tokens = [];

    /// <summary>The schedule of this key; takes over the key object.</summary>
    public ApnsJwt Get(ECDsa key, string teamId, string keyId)
    {
        var publicKey = Convert.ToHexStringLower(SHA256.HashData(key.ExportSubjectPublicKeyInfo()));
        lock (_gate)
        {
            if (_tokens.TryGetValue((teamId, keyId, publicKey), out var known))
            {
                key.Dispose();
                return known;
            }

            return _tokens[(teamId, keyId, publicKey)] = new ApnsJwt(key, teamId, keyId, time);
        }
    }

    /// <summary>All schedules there are now.</summary>
    public ApnsJwt[] All
    {
        get
        {
            lock (_gate)
            {
                return [.. _tokens.Values];
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            foreach (var token in _tokens.Values)
            {
                token.Dispose();
            }

            _tokens.Clear();
        }
    }
}
