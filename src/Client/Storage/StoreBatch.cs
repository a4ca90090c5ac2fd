using System.Text.Json;

namespace Marmot.Client.Storage;

/// <summary>Changes that become true together or not at all.</summary>
public sealed class StoreBatch
{
    internal List<(string Key, byte[]? Value)> Changes { get; } = [];

    /// <summary>True when nothing changes.</summary>
    public bool IsEmpty => Changes.Count == 0;

    /// <summary>Sets a value; the store owns the array from now on.</summary>
    public void Put(string key, byte[] value) => Changes.Add((key, value));

    /// <summary>Sets a value as JSON.</summary>
    public void PutJson<T>(string key, T value) => Put(key, JsonSerializer.SerializeToUtf8Bytes(value, StoreJson.Options));

    /// <summary>The value as it will be once the batch is in the store.</summary>
    internal byte[]? Get(string key, ClientStore store)
    {
        int index = Changes.FindLastIndex(change => change.Key == key);
        return index >= 0 ? Changes[index].Value : store.Get(key);
    }

    /// <summary>Removes a value; a missing one is fine.</summary>
    public void Delete(string key) => Changes.Add((key, null));
}
