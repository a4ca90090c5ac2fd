namespace Marmot.Blossom.Storage;

/// <summary>What is left on the volume of a folder. Asked for with every upload, so the system is asked at most once a second.</summary>
internal sealed class FreeSpace(string folder, TimeProvider time)
{
    private long _bytes;
    private long _until = long.MinValue;

    public long Bytes
    {
        get
        {
            var now = time.GetTimestamp();
            if (now >= Volatile.Read(ref _until))
            {
                Volatile.Write(ref _bytes, new DriveInfo(folder).AvailableFreeSpace);
                Volatile.Write(ref _until, now + time.TimestampFrequency);
            }

            return Volatile.Read(ref _bytes);
        }
    }
}
