using Marmot.Mls.Codec;

namespace Marmot.Mls.Messages;

/// <summary>Component numbers that draft-ietf-mls-extensions assigns; those from 0x8000 upward are an application's own.</summary>
public static class ComponentId
{
    /// <summary>A <see cref="ComponentsList"/>: in a leaf what the client supports, in the group context what every member must.</summary>
    public const ushort AppComponents = 1;

    /// <summary>A <see cref="ComponentsList"/> of components that put items into the authenticated data of messages.</summary>
    public const ushort SafeAad = 2;

    /// <summary>Media types of application messages.</summary>
    public const ushort ContentMediaTypes = 3;

    /// <summary>KeyPackage: may be used more than once; no data.</summary>
    public const ushort LastResortKeyPackage = 4;

    /// <summary>Receipts, in AppEphemeral proposals.</summary>
    public const ushort AppAck = 5;
}

/// <summary>
/// The content of the app_data_dictionary extension (draft-ietf-mls-extensions, 4.6): the data of application components by their number, ascending, each at
/// most once. Immutable, thread-safe.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Naming", "CA1711", Justification = "The draft's own name of the extension.")]
public sealed class AppDataDictionary : IWireValue
{
    private readonly SortedList<ushort, byte[]> _entries;

    private AppDataDictionary(SortedList<ushort, byte[]> entries) => _entries = entries;

    /// <summary>Without entries.</summary>
    public static AppDataDictionary Empty { get; } = new([]);

    /// <summary>The components that have an entry, ascending.</summary>
    public IReadOnlyList<ushort> Components => [.. _entries.Keys];

    /// <summary>True when the component has an entry, which may be empty.</summary>
    public bool Contains(ushort component) => _entries.ContainsKey(component);

    /// <summary>The data of a component, or null. Owned by this value, do not change.</summary>
    public byte[]? this[ushort component] => _entries.TryGetValue(component, out var data) ? data : null;

    /// <summary>The same with this entry.</summary>
    public AppDataDictionary With(ushort component, byte[] data) => new(new SortedList<ushort, byte[]>(_entries) { [component] = data });

    /// <summary>The same without this entry.</summary>
    public AppDataDictionary Without(ushort component)
    {
        var entries = new SortedList<ushort, byte[]>(_entries);
        entries.Remove(component);
        return new AppDataDictionary(entries);
    }

    /// <summary>As an extension.</summary>
    public Extension ToExtension() => new(ExtensionType.AppDataDictionary, TlsWriter.Encode(this));

    /// <inheritdoc/>
    public void Write(TlsWriter writer)
    {
        var start = writer.BeginVector();
        foreach (var (component, data) in _entries)
        {
            writer.WriteUInt16(component);
            writer.WriteOpaque(data);
        }
        writer.EndVector(start);
    }

    /// <summary>Reads the content of the extension; false when components are not ascending, one stands twice or bytes are left.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out AppDataDictionary dictionary)
    {
        try
        {
            dictionary = Read(bytes);
            return true;
        }
        catch (MlsException)
        {
            dictionary = Empty;
            return false;
        }
    }

    internal static AppDataDictionary Read(ReadOnlySpan<byte> bytes)
    {
        var reader = new TlsReader(bytes);
        var entries = new SortedList<ushort, byte[]>();
        var last = -1;
        for (var body = reader.ReadVector(); body.Remaining > 0;)
        {
            var component = body.ReadUInt16();
            MlsException.ThrowIf(component <= last, MlsError.Malformed);
            last = component;
            entries.Add(component, body.ReadBytes());
        }
        reader.ExpectEnd();
        return new AppDataDictionary(entries);
    }

    /// <summary>The dictionary among these extensions; null when there is none. Throws <see cref="MlsError.Malformed"/>.</summary>
    internal static AppDataDictionary? Find(IEnumerable<Extension> extensions) =>
        Extension.Find(extensions, ExtensionType.AppDataDictionary) is { } found ? Read(found.Data) : null;

    /// <summary>The dictionary among these extensions; false when there is none or it cannot be read.</summary>
    public static bool TryFind(IEnumerable<Extension> extensions, out AppDataDictionary dictionary)
    {
        dictionary = Empty;
        return Extension.Find(extensions, ExtensionType.AppDataDictionary) is { } found && TryRead(found.Data, out dictionary);
    }
}

/// <summary>A list of components (draft-ietf-mls-extensions, 5): ascending, each once. The data of <see cref="ComponentId.AppComponents"/> and
/// <see cref="ComponentId.SafeAad"/>. Immutable, thread-safe.</summary>
public sealed class ComponentsList : IWireValue
{
    private readonly ushort[] _components;

    private ComponentsList(ushort[] components) => _components = components;

    /// <summary>The components, ascending.</summary>
    public IReadOnlyList<ushort> Components => _components;

    /// <summary>A list of these, put in order; the same one twice counts once.</summary>
    public static ComponentsList Of(params IEnumerable<ushort> components) => new([.. components.Distinct().Order()]);

    /// <summary>True when it is in the list.</summary>
    public bool Contains(ushort component) => Array.BinarySearch(_components, component) >= 0;

    /// <summary>The wire form, as a dictionary holds it.</summary>
    public byte[] ToBytes() => TlsWriter.Encode(this);

    /// <inheritdoc/>
    public void Write(TlsWriter writer) => writer.WriteUInt16Vector(_components);

    /// <summary>False when components are not ascending, one stands twice or bytes are left.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out ComponentsList list)
    {
        list = new ComponentsList([]);
        try
        {
            var reader = new TlsReader(bytes);
            var components = reader.ReadUInt16Vector();
            reader.ExpectEnd();
            for (var i = 1; i < components.Length; i++)
            {
                if (components[i] <= components[i - 1]) return false;
            }
            list = new ComponentsList(components);
            return true;
        }
        catch (MlsException)
        {
            return false;
        }
    }
}
