using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Marmot.Platform.Native;

[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]

namespace Marmot.Relay.Storage.Native;

/// <summary>The few functions of liblmdb (0.9.24 and later) that the index uses, with blittable signatures.</summary>
/// <remarks>Flags and return codes keep the names of lmdb.h. Nothing here allocates.</remarks>
internal static unsafe partial class Lmdb
{
    public const int Success = 0;
    public const int NotFound = -30798;
    public const int KeyExists = -30799;
    public const int MapFull = -30792;
    public const int Invalid = -30793;
    public const int VersionMismatch = -30794;
    public const int Panic = -30795;
    public const int Corrupted = -30796;
    public const int PageNotFound = -30797;
    public const int Incompatible = -30784;

    public const uint NoSync = 0x10000;
    public const uint ReadOnly = 0x20000;
    public const uint NoTls = 0x200000;
    public const uint NoReadAhead = 0x800000;

    public const uint IntegerKey = 0x08;
    public const uint Create = 0x40000;

    public const uint NoOverwrite = 0x10;
    public const uint Append = 0x20000;

    public const int CursorFirst = 0;
    public const int CursorLast = 6;
    public const int CursorNext = 8;
    public const int CursorPrevious = 12;
    public const int CursorSetRange = 17;

    private const string Library = NativeLibraries.Lmdb;

    [StructLayout(LayoutKind.Sequential)]
    public struct Value
    {
        public nuint Size;
        public byte* Data;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Stat
    {
        public uint PageSize;
        public uint Depth;
        public nuint BranchPages;
        public nuint LeafPages;
        public nuint OverflowPages;
        public nuint Entries;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Info
    {
        public void* MapAddress;
        public nuint MapSize;
        public nuint LastPage;
        public nuint LastTransaction;
        public uint MaxReaders;
        public uint Readers;
    }

    [LibraryImport(Library, EntryPoint = "mdb_env_create")]
    public static partial int EnvCreate(nint* env);

    [LibraryImport(Library, EntryPoint = "mdb_env_open")]
    public static partial int EnvOpen(nint env, byte* path, uint flags, uint mode);

    [LibraryImport(Library, EntryPoint = "mdb_env_close")]
    public static partial void EnvClose(nint env);

    [LibraryImport(Library, EntryPoint = "mdb_env_sync")]
    public static partial int EnvSync(nint env, int force);

    [LibraryImport(Library, EntryPoint = "mdb_env_stat")]
    public static partial int EnvStat(nint env, Stat* stat);

    [LibraryImport(Library, EntryPoint = "mdb_env_info")]
    public static partial int EnvInfo(nint env, Info* info);

    [LibraryImport(Library, EntryPoint = "mdb_env_get_fd")]
    public static partial int EnvGetFd(nint env, int* file);

    [LibraryImport(Library, EntryPoint = "mdb_env_set_mapsize")]
    public static partial int EnvSetMapSize(nint env, nuint size);

    [LibraryImport(Library, EntryPoint = "mdb_env_set_maxreaders")]
    public static partial int EnvSetMaxReaders(nint env, uint readers);

    [LibraryImport(Library, EntryPoint = "mdb_env_set_maxdbs")]
    public static partial int EnvSetMaxDbs(nint env, uint dbs);

    [LibraryImport(Library, EntryPoint = "mdb_reader_check")]
    public static partial int ReaderCheck(nint env, int* dead);

    [LibraryImport(Library, EntryPoint = "mdb_txn_begin")]
    public static partial int TxnBegin(nint env, nint parent, uint flags, nint* txn);

    [LibraryImport(Library, EntryPoint = "mdb_txn_commit")]
    public static partial int TxnCommit(nint txn);

    [LibraryImport(Library, EntryPoint = "mdb_txn_abort")]
    public static partial void TxnAbort(nint txn);

    [LibraryImport(Library, EntryPoint = "mdb_txn_reset")]
    public static partial void TxnReset(nint txn);

    [LibraryImport(Library, EntryPoint = "mdb_txn_renew")]
    public static partial int TxnRenew(nint txn);

    [LibraryImport(Library, EntryPoint = "mdb_dbi_open")]
    public static partial int DbiOpen(nint txn, byte* name, uint flags, uint* dbi);

    [LibraryImport(Library, EntryPoint = "mdb_stat")]
    public static partial int DbStat(nint txn, uint dbi, Stat* stat);

    [LibraryImport(Library, EntryPoint = "mdb_get")]
    public static partial int Get(nint txn, uint dbi, Value* key, Value* data);

    [LibraryImport(Library, EntryPoint = "mdb_put")]
    public static partial int Put(nint txn, uint dbi, Value* key, Value* data, uint flags);

    [LibraryImport(Library, EntryPoint = "mdb_del")]
    public static partial int Delete(nint txn, uint dbi, Value* key, Value* data);

    [LibraryImport(Library, EntryPoint = "mdb_cursor_open")]
    public static partial int CursorOpen(nint txn, uint dbi, nint* cursor);

    [LibraryImport(Library, EntryPoint = "mdb_cursor_close")]
    public static partial void CursorClose(nint cursor);

    [LibraryImport(Library, EntryPoint = "mdb_cursor_get")]
    public static partial int CursorGet(nint cursor, Value* key, Value* data, int operation);

    [LibraryImport(Library, EntryPoint = "mdb_strerror")]
    public static partial byte* StringError(int code);

    public static string Describe(int code) => Marshal.PtrToStringUTF8((nint)StringError(code)) ?? $"LMDB error {code}";

    // One resolver an assembly; the runtime's own search does not know the versioned names of the runtime packages.
    [ModuleInitializer]
    [System.Diagnostics.CodeAnalysis.SuppressMessage("Usage", "CA2255",
        Justification = "The resolver has to be in place before the first call, whichever it is.")]
    internal static void Install() => NativeLibraries.Register(typeof(Lmdb).Assembly);
}
