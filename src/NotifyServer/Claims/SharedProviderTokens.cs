using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Marmot.Hosting.Cluster;
using Marmot.NotifyServer.Providers;
using Marmot.Protocol.Encoding;

namespace Marmot.NotifyServer.Claims;

/// <summary>One APNs provider token for all replicas: Apple counts new tokens by key, not by server, and takes one in 20 minutes.</summary>
/// <remarks>
/// Who comes first offers its token, the others take it over. It lies with the cluster sealed under a key derived from the signing key, so
/// that reading Redis or PostgreSQL gives nobody the right to push. While the cluster is away each replica goes on with what it has.
/// </remarks>
internal sealed class SharedProviderTokens(ISharedValues values, TimeProvider time)
{
    /// <summary>A shared token is followed by the next at this age, two minutes before a schedule would renew it by itself.</summary>
    private static readonly TimeSpan ShareFor = ApnsJwt.Lifetime - TimeSpan.FromMinutes(2);

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);
    private const int NonceSize = 12;
    private const int TagSize = 16;

    /// <summary>Keeps the schedules together until cancelled; never fails.</summary>
    public async Task RunAsync(ApnsJwts jwts, CancellationToken cancel)
    {
        try
        {
            while (true)
            {
                await Task.Delay(Interval, time, cancel);
                await AgreeAsync(jwts, cancel);
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    /// <summary>One round over all schedules.</summary>
    public async Task AgreeAsync(ApnsJwts jwts, CancellationToken cancel)
    {
        foreach (var jwt in jwts.All)
        {
            try
            {
                await AgreeAsync(jwt, cancel);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                // The cluster is away or answers nonsense: the next round tries again.
            }
        }
    }

    private async Task AgreeAsync(ApnsJwt jwt, CancellationToken cancel)
    {
        var (name, key) = jwt.Identify();
        try
        {
            var mine = jwt.Peek() is { } current && current.Age < ShareFor ? current : jwt.Draft();
            var lifetime = ShareFor - mine.Age;
            var there = await values.OfferAsync(new Bytes32(name), Seal(key, mine.Token, mine.Dated), lifetime, cancel);
            if (TryOpen(key, there, out var token, out var dated))
            {
                jwt.Adopt(token, dated);
            }
        }
        finally
        {
            CryptographicOperations.ZeroMemory(key);
        }
    }

    // nonce 12, AES-256-GCM of date i64 (Unix milliseconds) and the token, tag 16.
    private static byte[] Seal(byte[] key, string token, DateTimeOffset dated)
    {
        var plain = new byte[sizeof(long) + Encoding.ASCII.GetByteCount(token)];
        BinaryPrimitives.WriteInt64BigEndian(plain, dated.ToUnixTimeMilliseconds());
        Encoding.ASCII.GetBytes(token, plain.AsSpan(sizeof(long)));
        var output = new byte[NonceSize + plain.Length + TagSize];
        RandomNumberGenerator.Fill(output.AsSpan(0, NonceSize));
        using var aes = new AesGcm(key, TagSize);
        aes.Encrypt(output.AsSpan(0, NonceSize), plain, output.AsSpan(NonceSize, plain.Length), output.AsSpan(NonceSize + plain.Length));
        CryptographicOperations.ZeroMemory(plain);
        return output;
    }

    private static bool TryOpen(byte[] key, byte[] sealedToken, out string token, out DateTimeOffset dated)
    {
        (token, dated) = ("", default);
        if (sealedToken.Length < NonceSize + sizeof(long) + TagSize)
        {
            return false;
        }

        var plain = new byte[sealedToken.Length - NonceSize - TagSize];
        try
        {
            using var aes = new AesGcm(key, TagSize);
            aes.Decrypt(sealedToken.AsSpan(0, NonceSize), sealedToken.AsSpan(NonceSize, plain.Length), sealedToken.AsSpan(NonceSize + plain.Length), plain);
        }
        catch (AuthenticationTagMismatchException)
        {
            return false; // not ours
        }

        dated = DateTimeOffset.FromUnixTimeMilliseconds(BinaryPrimitives.ReadInt64BigEndian(plain));
        token = Encoding.ASCII.GetString(plain.AsSpan(sizeof(long)));
        CryptographicOperations.ZeroMemory(plain);
        return true;
    }
}
