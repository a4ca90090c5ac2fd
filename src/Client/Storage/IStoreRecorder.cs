namespace Marmot.Client.Storage;

/// <summary>Hears of every change of the store's files, in order: the seam at which tests put a disk that loses power.</summary>
internal interface IStoreRecorder
{
    void Write(string path, long offset, ReadOnlySpan<byte> bytes);

    void SetLength(string path, long length);

    void Flush(string path);

    void FlushFolder(string path);

    void Move(string from, string to);

    void Delete(string path);
}
