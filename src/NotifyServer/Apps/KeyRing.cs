using System.Diagnostics.CodeAnalysis;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.NotifyServer.Apps;

/// <summary>Which app and key a gift wrap is for, by its p tag: never by trying keys.</summary>
internal sealed class KeyRing
{
    private readonly Dictionary<Bytes32, (NotifyApp App, SecretKey Key)> _keys = [];

    /// <exception cref="InvalidDataException">Two apps share a key.</exception>
    public KeyRing(IReadOnlyList<NotifyApp> apps)
    {
        Apps = apps;
        foreach (var app in apps)
        {
            foreach (var key in app.Keys)
            {
                if (!_keys.TryAdd(key.PublicKey, (app, key)))
                {
                    throw new InvalidDataException($"app {app.Name}: a key of this app is used twice");
                }
            }
        }
    }

    public IReadOnlyList<NotifyApp> Apps { get; }

    public IEnumerable<(NotifyApp App, SecretKey Key)> Keys => _keys.Values;

    public bool TryFind(in Bytes32 publicKey, [NotNullWhen(true)] out NotifyApp? app, [NotNullWhen(true)] out SecretKey? key)
    {
        var found = _keys.TryGetValue(publicKey, out var entry);
        (app, key) = entry;
        return found;
    }
}
