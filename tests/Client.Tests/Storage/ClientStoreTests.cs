using Marmot.Client.Storage;

namespace Marmot.Client.Tests.Storage;

public sealed class ClientStoreTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string MarkPath => Path.ChangeExtension(LogPath, ".mark");

    private string LogPath => Path.Combine(_folder.File("state"), ClientStore.FileName);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_was_committed_is_there_after_a_restart_and_what_was_deleted_is_not()
    {
        using (var store = Open())
        {
            Put(store, ("a", "1"), ("b", "2"));
            var batch = new StoreBatch();
            batch.Put("a", "3"u8.ToArray());
            batch.Delete("b");
            store.Commit(batch);
        }

        using var again = Open();
        Assert.Equal("3"u8.ToArray(), again.Get("a"));
        Assert.Null(again.Get("b"));
    }

    [Fact]
    public void A_batch_cut_at_any_byte_is_gone_whole_and_the_ones_before_it_stay()
    {
        using (var store = Open())
        {
            Put(store, ("a", "1"));
        }

        long before = new FileInfo(LogPath).Length;
        byte[] mark = File.ReadAllBytes(MarkPath);
        using (var store = Open())
        {
            Put(store, ("a", "2"), ("b", "2"));
        }

        byte[] whole = File.ReadAllBytes(LogPath);
        for (long length = before; length < whole.Length; length++)
        {
            File.WriteAllBytes(LogPath, whole[..(int)length]);
            File.WriteAllBytes(MarkPath, mark); // it was not written: the batch was never on disk
            using var store = Open();
            Assert.Equal("1"u8.ToArray(), store.Get("a"));
            Assert.Null(store.Get("b"));
            Put(store, ("c", "3"));
        }
    }

    [Fact]
    public void Nothing_of_a_value_or_a_key_stands_in_the_file()
    {
        using (var store = Open())
        {
            Put(store, ("the-secret-name", "the-secret-value"));
        }

        string text = System.Text.Encoding.Latin1.GetString(File.ReadAllBytes(LogPath));
        Assert.DoesNotContain("the-secret", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_wrong_key_file_and_a_wrong_passphrase_are_refused()
    {
        Open().Dispose();
        using var other = StoreSecret.FromKeyFile(_folder.File("other.key"));
        Assert.Throws<InvalidDataException>(() => ClientStore.Open(_folder.File("state"), other));
        using var phrase = StoreSecret.FromPassphrase("correct horse");
        Assert.Throws<InvalidDataException>(() => ClientStore.Open(_folder.File("state"), phrase));
        using (var store = ClientStore.Open(_folder.File("phrase"), phrase))
        {
            Put(store, ("a", "1"));
        }

        using var wrong = StoreSecret.FromPassphrase("wrong horse");
        Assert.Throws<InvalidDataException>(() => ClientStore.Open(_folder.File("phrase"), wrong));
        using var right = ClientStore.Open(_folder.File("phrase"), phrase);
        Assert.Equal("1"u8.ToArray(), right.Get("a"));
    }

    [Fact]
    public void A_key_file_others_may_read_is_refused()
    {
        string path = _folder.WriteSecret("loose.key", new string('k', 32));
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.OtherRead);
            Assert.Throws<InvalidDataException>(() => StoreSecret.FromKeyFile(path));
        }
    }

    [Fact]
    public void History_is_rewritten_and_the_live_values_stay()
    {
        using (var store = Open())
        {
            for (int i = 0; i < 40; i++)
            {
                var batch = new StoreBatch();
                batch.Put("big", new byte[1024 * 1024]);
                batch.Put("count", [(byte)i]);
                store.Commit(batch, durable: false);
            }

            Assert.InRange(store.FileBytes, 1, 20 * 1024 * 1024);
            Put(store, ("after", "x"));
        }

        using var again = Open();
        Assert.Equal([39], again.Get("count"));
        Assert.Equal("x"u8.ToArray(), again.Get("after"));
    }

    [Fact]
    public void A_store_is_open_once_at_a_time()
    {
        using var store = Open();
        Assert.ThrowsAny<IOException>(() => Open());
    }

    private ClientStore Open()
    {
        using var secret = StoreSecret.FromKeyFile(_folder.File("store.key"));
        return ClientStore.Open(_folder.File("state"), secret);
    }

    private static void Put(ClientStore store, params (string Key, string Value)[] values)
    {
        var batch = new StoreBatch();
        foreach (var (key, value) in values)
        {
            batch.Put(key, System.Text.Encoding.UTF8.GetBytes(value));
        }

        store.Commit(batch);
    }
}
