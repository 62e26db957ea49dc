package ecs

import "math/bits"

// key is the name of a field as a number. An event has some hundred fields, whose names are compared, searched
// and sorted: with numbers that takes next to nothing. They are in the order of the names. A name that is
// in this table always has its number, and any other is known by its text alone.
type key uint8

// The names that are usual in records or mean something to the encoder.
const (
	other key = iota // any other name
	keyA0
	keyA1
	keyA2
	keyA3
	keyAcct
	keyAddr
	keyApparmor
	keyArch
	keyArgc
	keyAuditBacklogLimit
	keyAuditEnabled
	keyAuditFailure
	keyAuditPID
	keyAUID
	keyBool
	keyCapFe
	keyCapFi
	keyCapFp
	keyCapFrootid
	keyCapFver
	keyCapname
	keyCmd
	keyCode
	keyComm
	keyCompat
	keyCWD
	keyData
	keyDeniedMask
	keyDev
	keyEGID
	keyEnforcing
	keyEUID
	keyExe
	keyExit
	keyFamily
	keyFe
	keyFeature
	keyFi
	keyFlow
	keyFp
	keyFrootid
	keyFSGID
	keyFSUID
	keyFver
	keyGID
	keyGrantors
	keyGroup
	keyGrp
	keyHostname
	keyID
	keyIGID
	keyInode
	keyInodeGID
	keyInodeUID
	keyIP
	keyItem
	keyItems
	keyIUID
	keyKey
	keyList
	keyMode
	keyMsg
	keyName
	keyNametype
	keyNew
	keyDashNewAUID
	keyDashNewGID
	keyDashNewGroup
	keyNewLevel
	keyNewAUID
	keyNewGID
	keyNewGroup
	keyNewSes
	keyOAUID
	keyObj
	keyObjCategory
	keyObjDomain
	keyObjGID
	keyObjLevel
	keyObjRole
	keyObjUID
	keyObjUser
	keyObjtype
	keyOcomm
	keyOGID
	keyOld
	keyDashOldAUID
	keyDashOldSes
	keyOldAUID
	keyOldPa
	keyOldPe
	keyOldPi
	keyOldPp
	keyOldSes
	keyOp
	keyOperation
	keyOPID
	keyOses
	keyOUID
	keyOwner
	keyPa
	keyPath
	keyPe
	keyPer
	keyPermissive
	keyPi
	keyPID
	keyPort
	keyPp
	keyPPID
	keyPrinter
	keyProctitle
	keyProfile
	keyRdev
	keyRequestedMask
	keyRes
	keyResrc
	keyResult
	keyRport
	keySaddr
	keySAUID
	keyScontext
	keyScope
	keySelectedContext
	keySeperms
	keySeresult
	keySes
	keySGID
	keySig
	keySubj
	keySubjCategory
	keySubjDomain
	keySubjLevel
	keySubjRole
	keySubjUser
	keySuccess
	keySUID
	keySyscall
	keySyscallNumber
	keyTable
	keyTclass
	keyTcontext
	keyTerminal
	keyText
	keyTTY
	keyUID
	keyUnit
	keyUringOp
	keyVM
	keyCount
)

// keyNames are the names as records have them.
var keyNames = [keyCount]string{
	keyA0: "a0", keyA1: "a1", keyA2: "a2", keyA3: "a3", keyAcct: "acct", keyAddr: "addr", keyApparmor: "apparmor",
	keyArch: "arch", keyArgc: "argc", keyAuditBacklogLimit: "audit_backlog_limit", keyAuditEnabled: "audit_enabled",
	keyAuditFailure: "audit_failure", keyAuditPID: "audit_pid", keyAUID: "auid", keyBool: "bool", keyCapFe: "cap_fe",
	keyCapFi: "cap_fi", keyCapFp: "cap_fp", keyCapFrootid: "cap_frootid", keyCapFver: "cap_fver", keyCapname: "capname",
	keyCmd: "cmd", keyCode: "code", keyComm: "comm", keyCompat: "compat", keyCWD: "cwd", keyData: "data",
	keyDeniedMask: "denied_mask", keyDev: "dev", keyEGID: "egid", keyEnforcing: "enforcing", keyEUID: "euid", keyExe: "exe",
	keyExit: "exit", keyFamily: "family", keyFe: "fe", keyFeature: "feature", keyFi: "fi", keyFlow: "flow", keyFp: "fp",
	keyFrootid: "frootid", keyFSGID: "fsgid", keyFSUID: "fsuid", keyFver: "fver", keyGID: "gid", keyGrantors: "grantors",
	keyGroup: "group", keyGrp: "grp", keyHostname: "hostname", keyID: "id", keyIGID: "igid", keyInode: "inode",
	keyInodeGID: "inode_gid", keyInodeUID: "inode_uid", keyIP: "ip", keyItem: "item", keyItems: "items", keyIUID: "iuid",
	keyKey: "key", keyList: "list", keyMode: "mode", keyMsg: "msg", keyName: "name", keyNametype: "nametype", keyNew: "new",
	keyDashNewAUID: "new-auid", keyDashNewGID: "new-gid", keyDashNewGroup: "new-group", keyNewLevel: "new-level",
	keyNewAUID: "new_auid", keyNewGID: "new_gid", keyNewGroup: "new_group", keyNewSes: "new_ses", keyOAUID: "oauid",
	keyObj: "obj", keyObjCategory: "obj_category", keyObjDomain: "obj_domain", keyObjGID: "obj_gid", keyObjLevel: "obj_level",
	keyObjRole: "obj_role", keyObjUID: "obj_uid", keyObjUser: "obj_user", keyObjtype: "objtype", keyOcomm: "ocomm",
	keyOGID: "ogid", keyOld: "old", keyDashOldAUID: "old-auid", keyDashOldSes: "old-ses", keyOldAUID: "old_auid",
	keyOldPa: "old_pa", keyOldPe: "old_pe", keyOldPi: "old_pi", keyOldPp: "old_pp", keyOldSes: "old_ses", keyOp: "op",
	keyOperation: "operation", keyOPID: "opid", keyOses: "oses", keyOUID: "ouid", keyOwner: "owner", keyPa: "pa",
	keyPath: "path", keyPe: "pe", keyPer: "per", keyPermissive: "permissive", keyPi: "pi", keyPID: "pid", keyPort: "port",
	keyPp: "pp", keyPPID: "ppid", keyPrinter: "printer", keyProctitle: "proctitle", keyProfile: "profile", keyRdev: "rdev",
	keyRequestedMask: "requested_mask", keyRes: "res", keyResrc: "resrc", keyResult: "result", keyRport: "rport",
	keySaddr: "saddr", keySAUID: "sauid", keyScontext: "scontext", keyScope: "scope", keySelectedContext: "selected-context",
	keySeperms: "seperms", keySeresult: "seresult", keySes: "ses", keySGID: "sgid", keySig: "sig", keySubj: "subj",
	keySubjCategory: "subj_category", keySubjDomain: "subj_domain", keySubjLevel: "subj_level", keySubjRole: "subj_role",
	keySubjUser: "subj_user", keySuccess: "success", keySUID: "suid", keySyscall: "syscall", keySyscallNumber: "syscall_number",
	keyTable: "table", keyTclass: "tclass", keyTcontext: "tcontext", keyTerminal: "terminal", keyText: "text", keyTTY: "tty",
	keyUID: "uid", keyUnit: "unit", keyUringOp: "uring_op", keyVM: "vm",
}

// keySet is a set of keys, which has them in the order of their names.
type keySet [4]uint64

func (s *keySet) has(k key) bool { return s[k/64]>>(k%64)&1 != 0 }
func (s *keySet) add(k key)      { s[k/64] |= 1 << (k % 64) }
func (s *keySet) remove(k key)   { s[k/64] &^= 1 << (k % 64) }

// all yields the keys in s.
func (s keySet) all(yield func(key) bool) {
	for i, set := range s {
		for ; set != 0; set &= set - 1 {
			if !yield(key(i*64 + bits.TrailingZeros64(set))) {
				return
			}
		}
	}
}

// without returns s without the keys in o.
func (s keySet) without(o keySet) keySet {
	for i := range s {
		s[i] &^= o[i]
	}
	return s
}
