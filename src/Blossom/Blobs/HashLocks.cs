using System.Buffers.Binary;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Blobs;

/// <summary>One lock a stripe of hashes, held around "commit bytes, add claim" and "remove claim, delete bytes" so that an upload and a deletion of one hash
/// never interleave.</summary>
/// <remarks>The only lock held across awaits in this server; nothing is locked inside it but the store's reader table.</remarks>
internal sealed class HashLocks
{
    private const int Stripes = 1024;
    private readonly SemaphoreSlim[] _stripes = [.. Enumerable.Range(0, Stripes).Select(_ => new SemaphoreSlim(1, 1))];

    public async ValueTask<Held> AcquireAsync(Bytes32 hash)
    {
        var stripe = _stripes[BinaryPrimitives.ReadUInt32LittleEndian(hash.Span) % Stripes];
        await stripe.WaitAsync();
        return new Held(stripe);
    }

    internal readonly struct Held(SemaphoreSlim stripe) : IDisposable
    {
        public void Dispose() => stripe.Release();
    }
}
