using System.Collections.Concurrent;
using System.Security.Cryptography;
using Marmot.Hosting.Cluster;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Providers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Claims;

/// <summary>One push a coalescing window for a device over all replicas: who rings it claims it with the ledger for as long as the window.</summary>
/// <remarks>
/// A device that another replica holds is asked for again when the window has passed since its hint: if it is held then, it was rung after
/// the hint came, and the hint is done. All claims of a trigger go out together, one round trip for the whole of it. The ledger sees
/// devices under a name keyed by the app's own Nostr key: whoever reads the ledger cannot tell which token a name is, nor test one.
/// While the ledger cannot be asked each replica decides alone. Thread-safe.
/// </remarks>
internal sealed class SharedDevices(IClaimLedger ledger, SharedClaims claims, NotifyMetrics metrics, TimeProvider time) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    // Our own claim never stands in our way: what we may send is the device gate's business.
    private readonly Bytes32 _self = new(RandomNumberGenerator.GetBytes(Bytes32.Size));
    private readonly ConcurrentDictionary<Bytes32, byte[]> _keys = new();

    /// <summary>Claims the devices of those jobs that would go now. All jobs learn whom to ask when their hold ends.</summary>
    /// <returns>For each job false when another replica has rung its device within the window.</returns>
    public async ValueTask<bool[]> ClaimAsync(NotifyApp app, IReadOnlyList<(DevicePlatform Platform, PushJob Job, Bytes32)> jobs, TimeSpan window,
        CancellationToken cancellationToken)
    {
        var asked = new Task<bool>[jobs.Count];
        for (var i = 0; i < asked.Length; i++)
        {
            var (platform, job, _) = jobs[i];
            var device = Name(app, platform, job);
            job.ClaimAsync = () => TryClaimAsync(device, window, CancellationToken.None);
            asked[i] = job.Held > TimeSpan.Zero ? Task.FromResult(true) : TryClaimAsync(device, window, cancellationToken);
        }

        return await Task.WhenAll(asked);
    }

    /// <summary>The jobs are not sent after all.</summary>
    public void Release(NotifyApp app, IReadOnlyList<(DevicePlatform Platform, PushJob Job, Bytes32)> jobs)
    {
        foreach (var (platform, job, _) in jobs)
        {
            if (job.Held == TimeSpan.Zero)
            {
                _ = ReleaseAsync(Name(app, platform, job));
            }
        }
    }

    /// <summary>Wipes the keys of the names.</summary>
    public void Dispose()
    {
        foreach (var key in _keys.Values)
        {
            CryptographicOperations.ZeroMemory(key);
        }
    }

    private async Task<bool> TryClaimAsync(Bytes32 device, TimeSpan window, CancellationToken cancellationToken)
    {
        if (!claims.IsKnownAway())
        {
            try
            {
                var answer = await ledger.ClaimAsync(device, _self, window, cancellationToken).AsTask().WaitAsync(Patience, time, cancellationToken);
                claims.Answered();
                return answer == ClaimAnswer.Owned;
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                claims.Failed(); // away, slow, or it answers nonsense
            }
        }

        metrics.DeviceClaimedAlone();
        return true;
    }

    // One that gets lost ends with the window.
    private async Task ReleaseAsync(Bytes32 device)
    {
        try
        {
            await ledger.ReleaseAsync(device, _self, CancellationToken.None);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            claims.Failed();
        }
    }

    // HMAC-SHA256 of platform | token under a key that only replicas with the same app key have.
    private Bytes32 Name(NotifyApp app, DevicePlatform platform, PushJob job)
    {
        var key = _keys.GetOrAdd(app.PublicKey, static (_, own) => Derive(own), app.Keys[0]);
        Span<byte> text = stackalloc byte[1 + TokenDialects.MaxTokenSize];
        text[0] = (byte)platform;
        job.DeviceToken.CopyTo(text[1..]);
        text = text[..(1 + job.DeviceToken.Length)];
        Span<byte> name = stackalloc byte[Bytes32.Size];
        HMACSHA256.HashData(key, text, name);
        CryptographicOperations.ZeroMemory(text);
        return new Bytes32(name);
    }

    private static byte[] Derive(SecretKey own)
    {
        Span<byte> secret = stackalloc byte[32];
        own.CopyTo(secret);
        var key = GC.AllocateUninitializedArray<byte>(HkdfSha256.HashSize, pinned: true);
        HkdfSha256.DeriveKey(secret, "marmot-notify-v1"u8, "device claims"u8, key);
        CryptographicOperations.ZeroMemory(secret);
        return key;
    }
}
