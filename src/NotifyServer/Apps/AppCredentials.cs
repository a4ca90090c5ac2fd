using System.Security.Cryptography;
using System.Text.Json;
using Marmot.NotifyServer.Providers;

namespace Marmot.NotifyServer.Apps;

/// <summary>Makes an app's providers from its settings and files, and tells whether either has changed since.</summary>
internal sealed class AppCredentials(ApnsJwts jwts, TimeProvider time)
{
    /// <summary>The APNs provider, or null when none is configured.</summary>
    /// <exception cref="InvalidDataException">A file is not what it should be.</exception>
    public ApnsProvider? CreateApns(NotifyAppOptions app, NotifyOptions notify) => app.Apns.IsConfigured
        ? ApnsProvider.Create(app.Apns, app.CaFile, notify.ProviderTimeout, time, notify.RepeatsAfterTimeout, jwts)
        : null;

    /// <summary>The FCM provider, or null when none is configured.</summary>
    /// <exception cref="InvalidDataException">A file is not what it should be.</exception>
    public FcmProvider? CreateFcm(NotifyAppOptions app, NotifyOptions notify) => app.Fcm.IsConfigured
        ? FcmProvider.Create(app.Fcm, app.CaFile, notify.ProviderTimeout, time, notify.RepeatsAfterTimeout)
        : null;

    /// <summary>A hash over the APNs settings and what its files hold; another hash means another provider.</summary>
    public static string MarkOfApns(NotifyAppOptions app, NotifyOptions notify) => Mark(app.Apns, notify, app.Apns.KeyFile, app.CaFile);

    /// <summary>A hash over the FCM settings and what its files hold.</summary>
    public static string MarkOfFcm(NotifyAppOptions app, NotifyOptions notify) => Mark(app.Fcm, notify, app.Fcm.ServiceAccountFile, app.CaFile);

    private static string Mark<T>(T settings, NotifyOptions notify, params ReadOnlySpan<string> files)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(JsonSerializer.SerializeToUtf8Bytes(new { settings, notify.ProviderTimeout, notify.RepeatsAfterTimeout }));
        foreach (var file in files)
        {
            var content = file.Length > 0 ? File.ReadAllBytes(file) : [];
            hash.AppendData(BitConverter.GetBytes(content.Length));
            hash.AppendData(content);
            CryptographicOperations.ZeroMemory(content);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
