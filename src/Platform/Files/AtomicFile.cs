using System.Buffers;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Marmot.Platform.Files;

/// <summary>Puts a file in place as a whole. After a crash or a power cut the path holds the old content or the new, never a part; once a method has returned,
/// the new content is on disk.</summary>
/// <remarks>
/// The content is written to a draft in the same folder (<c>PATH.HEX.new</c>), flushed, renamed to the path, and the folder is flushed. A crash can leave a
/// draft behind; the next replacement or creation of the path deletes it. Two processes that replace one path at the same time: one of them may get an
/// exception, and the path holds the whole content of one.
/// </remarks>
public static partial class AtomicFile
{
    private const string DraftSuffix = ".new";
    private const int RandomLength = 16; // hex digits
    private const int FileExists = 17; // EEXIST
    private static readonly SearchValues<char> Hex = SearchValues.Create("0123456789abcdef");

    /// <summary>Replaces the content of a file, or makes it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="content">Its new content.</param>
    /// <param name="mode">The new file's mode; null: as the umask says.</param>
    /// <exception cref="IOException">The file could not be written or flushed; the old content is still there, unless only the flush of the folder
    /// failed.</exception>
    public static void Replace(string path, ReadOnlySpan<byte> content, UnixFileMode? mode = null)
    {
        DeleteDrafts(path);
        var draft = WriteDraft(path, content, mode);
        try
        {
            File.Move(draft, path, overwrite: true);
        }
        catch
        {
            File.Delete(draft);
            throw;
        }

        Folders.FlushFolderOf(path);
    }

    /// <summary>Makes a file that is not there yet. Of several who try at the same time exactly one succeeds.</summary>
    /// <returns>False when the file is there; it is untouched.</returns>
    /// <exception cref="IOException">The file could not be written or flushed.</exception>
    public static bool TryCreate(string path, ReadOnlySpan<byte> content, UnixFileMode? mode = null)
    {
        if (Path.Exists(path))
        {
            return false;
        }

        var draft = WriteDraft(path, content, mode);
        try
        {
            if (!TryLink(draft, path))
            {
                return false;
            }
        }
        finally
        {
            File.Delete(draft);
        }

        DeleteDrafts(path);
        Folders.FlushFolderOf(path);
        return true;
    }

    /// <summary>Opens a draft of a file, to be filled and given to <see cref="Place"/>; what earlier crashes left is deleted. For content that is written in
    /// steps, or a file that stays open afterwards.</summary>
    public static FileStream OpenDraft(string path, UnixFileMode? mode = null)
    {
        DeleteDrafts(path);
        return NewDraft(path, mode);
    }

    /// <summary>Flushes a draft and puts it in the file's place. The stream stays open and now is the file. The new name is on disk after
    /// <see cref="Folders.FlushFolderOf"/>.</summary>
    /// <exception cref="IOException">The draft could not be flushed or renamed; the old file is still in place.</exception>
    public static void Place(FileStream draft, string path)
    {
        draft.Flush(flushToDisk: true);
        File.Move(draft.Name, path, overwrite: true);
    }

    /// <summary>Deletes the drafts that crashes left of a file.</summary>
    public static void DeleteDrafts(string path)
    {
        var full = Path.GetFullPath(path);
        var start = full.Length + 1;
        foreach (var draft in Directory.EnumerateFiles(Path.GetDirectoryName(full)!, $"{Path.GetFileName(full)}.*{DraftSuffix}"))
        {
            // Not the draft of a file whose name only begins like this one's.
            if (draft.Length == start + RandomLength + DraftSuffix.Length && !draft.AsSpan(start, RandomLength).ContainsAnyExcept(Hex))
            {
                File.Delete(draft);
            }
        }
    }

    // Flushed and closed: an open one would be locked, and whoever reads the path at the moment it appears would be refused.
    private static string WriteDraft(string path, ReadOnlySpan<byte> content, UnixFileMode? mode)
    {
        var draft = NewDraft(path, mode);
        try
        {
            using (draft)
            {
                draft.Write(content);
                draft.Flush(flushToDisk: true);
            }

            return draft.Name;
        }
        catch
        {
            File.Delete(draft.Name);
            throw;
        }
    }

    private static FileStream NewDraft(string path, UnixFileMode? mode)
    {
        var options = FileModes.NewFile(FileMode.CreateNew, FileAccess.ReadWrite, mode);
        if (OperatingSystem.IsWindows())
        {
            options.Share = FileShare.Delete; // else it could not be renamed while it is open
        }

        return new FileStream($"{Path.GetFullPath(path)}.{RandomNumberGenerator.GetHexString(RandomLength, lowercase: true)}{DraftSuffix}", options);
    }

    // link(2) refuses a name that is taken in one step; the base class library looks first and renames then. Where links cannot be made (FAT, some network
    // shares) that has to do.
    private static bool TryLink(string draft, string path)
    {
        if (!OperatingSystem.IsWindows())
        {
            if (Link(draft, path) == 0)
            {
                return true;
            }

            if (Marshal.GetLastPInvokeError() == FileExists)
            {
                return false;
            }
        }

        try
        {
            File.Move(draft, path, overwrite: false);
            return true;
        }
        catch (IOException) when (Path.Exists(path))
        {
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "link", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Link(string existing, string path);
}
