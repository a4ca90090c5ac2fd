using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Marmot.Blossom.Storage;

/// <summary>Buffers in which uploads gather what goes to the disk at once. Few and bounded: an upload that finds none writes what comes as it comes.</summary>
internal sealed class UploadBuffers
{
    /// <summary>Bytes of a buffer: enough that the disk works at its speed, a multiple of every block size.</summary>
    public const int Bytes = 512 * 1024;

    private const int Most = 16;
    private const int Alignment = 4096; // of the memory, as O_DIRECT asks
    private readonly ConcurrentBag<Memory<byte>> _free = [];
    private int _made;

    /// <summary>A buffer, or null when all are in use.</summary>
    public Memory<byte>? TryRent()
    {
        if (_free.TryTake(out var buffer))
        {
            return buffer;
        }

        if (Volatile.Read(ref _made) < Most && Interlocked.Increment(ref _made) <= Most)
        {
            return Make();
        }

        return null;
    }

    public void Return(Memory<byte> buffer) => _free.Add(buffer);

    private static Memory<byte> Make()
    {
        var bytes = GC.AllocateUninitializedArray<byte>(Bytes + Alignment, pinned: true);
        var over = (int)(Marshal.UnsafeAddrOfPinnedArrayElement(bytes, 0) % Alignment);
        return bytes.AsMemory(Alignment - over, Bytes);
    }
}
